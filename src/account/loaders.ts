import DataLoader from 'dataloader'
import type { Kysely } from 'kysely'
import { alignByKey } from '../db/align.ts'
import type { DB } from '../db/types.ts'
import { countInstancesOf, listAccountsById } from './queries.ts'

/** By account id. */
export const createAccountLoaders = (db: Kysely<DB>) => ({
  account: new DataLoader(async (ids: readonly string[]) =>
    alignByKey(ids, await listAccountsById(db, ids), (account) => account.id, null),
  ),
  // A viewer has one account, so there is nothing to batch.
  instanceCount: new DataLoader((ids: readonly string[]) => Promise.all(ids.map((id) => countInstancesOf(db, id)))),
})
