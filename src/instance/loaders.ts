import DataLoader from 'dataloader'
import type { Kysely } from 'kysely'
import { alignByKey } from '../db/align.ts'
import type { DB } from '../db/types.ts'
import type { Viewer } from '../viewer/viewer.ts'
import type { NameFilter } from './filter.ts'
import { type Instance, listInstances, listInstancesById, listInstancesByName } from './queries.ts'

/** The instances that a viewer sees: lists by name filter, single ones by id. */
export const createInstanceLoaders = (db: Kysely<DB>, viewer: Viewer) => ({
  /** All filters of a request share one statement; the order is creation time, then id. */
  instances: new DataLoader<NameFilter, Instance[], string>(
    async (filters) => {
      const names = unionOf(filters)
      const rows = names === 'all' ? await listInstances(db, viewer) : await listInstancesByName(db, viewer, names)
      return filters.map((filter) => selectByName(rows, filter))
    },
    { cacheKeyFn: (filter) => JSON.stringify(filter) },
  ),
  instanceById: new DataLoader(async (ids: readonly string[]) =>
    alignByKey(ids, await listInstancesById(db, viewer, ids), (instance) => instance.id, null),
  ),
})

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
