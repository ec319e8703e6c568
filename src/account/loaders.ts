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
  instanceCount: new DataLoader(async (ids: readonly string[]) =>
    alignByKey(ids, await countInstancesOf(db, ids), (row) => row.accountId, null).map((row) => row?.count ?? 0),
  ),
})
