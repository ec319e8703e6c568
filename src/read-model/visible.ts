import { compareAge, type Position } from '../instance/cursor.ts'
import type { NameFilter } from '../instance/filter.ts'
import type { Viewer } from '../viewer/viewer.ts'
import type { AccountRows } from './account-rows.ts'
import type { InstanceRecord } from './instance-record.ts'

/*
 * What a viewer may see of its account in memory: the wall between tenants that instance/queries.ts builds in SQL.
 */

/** Those of the ids that exist and that the viewer may see, else null. */
export async function visibleById(
  account: AccountRows,
  viewer: Viewer,
  ids: readonly string[],
): Promise<(InstanceRecord | null)[]> {
  const records = await account.byId(ids)
  return viewer.kind === 'account'
    ? records
    : records.map((record) => (record?.instance.id === viewer.instanceId ? record : null))
}

/** The first instances after a position in the order of the list. */
export async function visibleAfter(
  account: AccountRows,
  viewer: Viewer,
  { first, after }: { first: number; after: Position | null },
): Promise<readonly InstanceRecord[]> {
  const records = await visibleInstances(account, viewer, 'all')
  const start = after ? firstIndex(records, ({ instance }) => compareAge(instance, after) > 0) : 0
  return records.slice(start, start + first)
}

/** Where in a sorted list a condition begins to hold: a few looks, however long the list. */
function firstIndex<Item>(sorted: readonly Item[], holds: (item: Item) => boolean): number {
  let low = 0
  let high = sorted.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if (holds(sorted[middle] as Item)) high = middle
    else low = middle + 1
  }
  return low
}

/** What a filter selects, oldest first. */
export async function visibleInstances(
  account: AccountRows,
  viewer: Viewer,
  filter: NameFilter,
): Promise<readonly InstanceRecord[]> {
  if (filter.length === 0) return []
  if (viewer.kind === 'account') return filter === 'all' ? account.list() : account.named(filter)
  const [own] = await account.byId([viewer.instanceId])
  return own && (filter === 'all' || filter.includes(own.instance.name)) ? [own] : []
}
