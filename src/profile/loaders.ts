import DataLoader from 'dataloader'
import type { Kysely } from 'kysely'
import { alignByKey } from '../db/align.ts'
import type { DB } from '../db/types.ts'
import type { Schedule } from '../outstanding.ts'
import { profilesOf, UNKNOWN_PROFILE } from './queries.ts'

/** By instance id. */
export const createProfileLoaders = (db: Kysely<DB>, schedule: Schedule) => ({
  profile: new DataLoader(
    async (ids: readonly string[]) =>
      alignByKey(ids, await profilesOf(db, ids), (row) => row.instanceId, UNKNOWN_PROFILE),
    schedule,
  ),
})
