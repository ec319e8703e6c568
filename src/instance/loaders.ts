import DataLoader from 'dataloader'
import type { Kysely } from 'kysely'
import { alignByKey } from '../db/align.ts'
import type { DB } from '../db/types.ts'
import type { AccountRows } from '../read-model/account-rows.ts'
import type { InstanceRecord } from '../read-model/instance-record.ts'
import { visibleById, visibleInstances } from '../read-model/visible.ts'
import type { Viewer } from '../viewer/viewer.ts'
import type { NameFilter } from './filter.ts'
import { type Instance, listInstances, listInstancesById, listInstancesByName } from './queries.ts'

/** The instances that a viewer sees: lists by name filter, single ones by id. */
export const createInstanceLoaders = (db: Kysely<DB>, viewer: Viewer, remembered: () => AccountRows | null) => ({
  /** All filters of a request share one statement; the order is creation time, then id. */
  instances: new DataLoader<NameFilter, Instance[], string>(
    async (filters) => {
      const account = remembered()
      if (account) return Promise.all(filters.map((filter) => rowsOf(visibleInstances(account, viewer, filter))))
      const names = unionOf(filters)
      const rows = names === 'all' ? await listInstances(db, viewer) : await listInstancesByName(db, viewer, names)
      return filters.map((filter) => selectByName(rows, filter))
    },
    { cacheKeyFn: (filter) => JSON.stringify(filter) },
  ),
  instanceById: new DataLoader(async (ids: readonly string[]) => {
    const account = remembered()
    if (account) return (await visibleById(account, viewer, ids)).map((record) => record?.instance ?? null)
    return alignByKey(ids, await listInstancesById(db, viewer, ids), (instance) => instance.id, null)
  }),
})

const rowsOf = async (records: Promise<readonly InstanceRecord[]>): Promise<Instance[]> =>
  (await records).map(({ instance }) => instance)

/** 'all' swallows any list of names. */
const unionOf = (filters: readonly NameFilter[]): NameFilter => {
  const names = new Set<string>()
  for (const filter of filters) {
    if (filter === 'all') return 'all'
    for (const name of filter) names.add(name)
  }
  return [...names]
}

const selectByName = (rows: readonly Instance[], filter: NameFilter): Instance[] => {
  if (filter === 'all') return [...rows]
  const wanted = new Set(filter)
  return rows.filter((row) => wanted.has(row.name))
}
