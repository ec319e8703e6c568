import DataLoader from 'dataloader'
import type { Kysely } from 'kysely'
import { alignByKey } from '../db/align.ts'
import type { DB } from '../db/types.ts'
import type { AccountRows } from '../read-model/account-rows.ts'
import type { InstanceRecord } from '../read-model/instance-record.ts'
import { visibleAfter, visibleById, visibleInstances } from '../read-model/visible.ts'
import type { Viewer } from '../viewer/viewer.ts'
import { type Position, writeCursor } from './cursor.ts'
import type { NameFilter } from './filter.ts'
import type { Rows } from '../rows.ts'
import { type Instance, listInstances, listInstancesAfter, listInstancesById, listInstancesByName } from './queries.ts'

/** Which page: so many instances after a position. */
type PageKey = { first: number; after: Position | null }

export type Page = { instances: readonly Instance[]; hasNextPage: boolean }

/** By name filter. All filters of a request share one statement; the order is creation time, then id. */
export const createInstancesLoader = (rows: Rows) =>
  new DataLoader<NameFilter, Instance[], string>(
    rows.instances.track(async (filters) => {
      const { db, viewer } = rows
      const account = rows.remembered()
      if (account) return Promise.all(filters.map((filter) => rowsOf(visibleInstances(account, viewer, filter))))
      const names = unionOf(filters)
      const found = names === 'all' ? await listInstances(db, viewer) : await listInstancesByName(db, viewer, names)
      return filters.map((filter) => selectByName(found, filter))
    }),
    { cacheKeyFn: (filter) => JSON.stringify(filter) },
  )

/** One statement a page, however often it is asked for. */
export const createInstancePageLoader = (rows: Rows) =>
  new DataLoader<PageKey, Page, string>(
    rows.instances.track((keys) =>
      Promise.all(keys.map((key) => readPage(rows.db, rows.viewer, key, rows.remembered()))),
    ),
    { cacheKeyFn: ({ first, after }) => `${first}:${after ? writeCursor(after) : ''}` },
  )

export const createInstanceByIdLoader = (rows: Rows) =>
  new DataLoader(
    rows.instances.track(async (ids: readonly string[]) => {
      const { db, viewer } = rows
      const account = rows.remembered()
      if (account) return (await visibleById(account, viewer, ids)).map((record) => record?.instance ?? null)
      return alignByKey(ids, await listInstancesById(db, viewer, ids), (instance) => instance.id, null)
    }),
  )

const rowsOf = async (records: Promise<readonly InstanceRecord[]>): Promise<Instance[]> =>
  (await records).map(({ instance }) => instance)

/** One more than asked for tells whether more follow. */
async function readPage(
  db: Kysely<DB>,
  viewer: Viewer,
  { first, after }: PageKey,
  account: AccountRows | null,
): Promise<Page> {
  const wanted = { first: first + 1, after }
  const instances = account
    ? await rowsOf(visibleAfter(account, viewer, wanted))
    : await listInstancesAfter(db, viewer, wanted)
  return { instances: instances.slice(0, first), hasNextPage: instances.length > first }
}

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
