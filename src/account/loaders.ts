import DataLoader from 'dataloader'
import type { Kysely } from 'kysely'
import { alignByKey } from '../db/align.ts'
import type { DB } from '../db/types.ts'
import type { AccountRows } from '../read-model/account-rows.ts'
import { countInstancesOf, listAccountsById } from './queries.ts'

/** By account id; a viewer has one account, so there is nothing to batch. */
export const createAccountLoaders = (db: Kysely<DB>, remembered: () => AccountRows | null) => ({
  account: new DataLoader(async (ids: readonly string[]) => {
    const rows = (await remembered()?.account()) ?? (await listAccountsById(db, ids))
    return alignByKey(ids, [rows].flat(), (account) => account.id, null)
  }),
  instanceCount: new DataLoader((ids: readonly string[]) =>
    Promise.all(ids.map(async (id) => (await remembered()?.list())?.length ?? countInstancesOf(db, id))),
  ),
})
