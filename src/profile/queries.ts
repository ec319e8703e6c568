import { type Kysely, sql } from 'kysely'
import type { DB } from '../db/types.ts'

/** What is known of the WhatsApp profile; null is "not known". */
export type Profile = {
  name: string | null
  pictureUrl: string | null
  isBusiness: boolean
  businessName: string | null
}

export const UNKNOWN_PROFILE: Profile = { name: null, pictureUrl: null, isBusiness: false, businessName: null }

export const profilesOf = (db: Kysely<DB>, ids: readonly string[]): Promise<(Profile & { instanceId: string })[]> =>
  db
    .selectFrom('instances')
    .select([
      'id as instanceId',
      'profile_name as name',
      'profile_picture_url as pictureUrl',
      'is_business as isBusiness',
      'business_name as businessName',
    ])
    .where(sql<boolean>`id = any(${ids}::uuid[])`)
    .execute()
