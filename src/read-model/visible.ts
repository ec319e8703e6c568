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
