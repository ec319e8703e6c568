import type { Kysely } from 'kysely'
import { alignByKey } from '../db/align.ts'
import type { DB } from '../db/types.ts'
import { type Profile, profilesOf, UNKNOWN_PROFILE } from './queries.ts'

/** By instance id, one statement a batch. */
export const PROFILE_BATCHES = {
  profile: async (db: Kysely<DB>, ids: readonly string[]): Promise<Profile[]> =>
    alignByKey(ids, await profilesOf(db, ids), (row) => row.instanceId, UNKNOWN_PROFILE),
}
