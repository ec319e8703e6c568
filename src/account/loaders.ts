import DataLoader from 'dataloader'
import { alignByKey } from '../db/align.ts'
import type { Rows } from '../rows.ts'
import { countInstancesOf, listAccountsById } from './queries.ts'

/** By account id; a viewer has one account, so there is nothing to batch. */
export const createAccountLoader = (rows: Rows) =>
  new DataLoader(async (ids: readonly string[]) => {
    const found = (await rows.remembered()?.account()) ?? (await listAccountsById(rows.db, ids))
    return alignByKey(ids, [found].flat(), (account) => account.id, null)
  })

/** How many instances an account has, by its id. */
export const createInstanceCountLoader = (rows: Rows) =>
  new DataLoader((ids: readonly string[]) =>
    Promise.all(ids.map(async (id) => (await rows.remembered()?.list())?.length ?? countInstancesOf(rows.db, id))),
  )
