import { type Kysely, sql } from 'kysely'
import type { StopReason } from '../connection/state.ts'
import type { DB } from '../db/types.ts'
import type { Viewer } from '../viewer/viewer.ts'
import { isUuid } from '../uuid.ts'
import type { Position } from './cursor.ts'
import { storableNames } from './filter.ts'

/** An instance with the durable facts that its connection is described from. */
export type Instance = {
  id: string
  accountId: string
  name: string
  createdAt: Date
  updatedAt: Date
  /** What it was asked to be. */
  desiredState: 'connected' | 'disconnected'
  /** `<digits>@s.whatsapp.net`; null until first paired. */
  numberJid: string | null
  pairedAt: Date | null
  /** When WhatsApp ended the pairing; null while paired or never paired. */
  loggedOutAt: Date | null
  /** Why its session was given up; null when it was not, or when a link was asked for since. */
  stopReason: StopReason | null
  stopWhatsappCode: number | null
  stoppedAt: Date | null
}

export const instanceColumns = [
  'id',
  'account_id as accountId',
  'name',
  'created_at as createdAt',
  'updated_at as updatedAt',
  'desired_state as desiredState',
  'number_jid as numberJid',
  'paired_at as pairedAt',
  'logged_out_at as loggedOutAt',
  'stop_reason as stopReason',
  'stop_whatsapp_code as stopWhatsappCode',
  'stopped_at as stoppedAt',
] as const

/** What a viewer may see, and nothing else: the one place that walls tenants off. */
const visibleTo = (db: Kysely<DB>, viewer: Viewer) => {
  const instances = db.selectFrom('instances').select(instanceColumns)
  return viewer.kind === 'account'
    ? instances.where('account_id', '=', viewer.accountId)
    : instances.where('id', '=', viewer.instanceId)
}

/** All instances the viewer may see, oldest first. */
export const listInstances = (db: Kysely<DB>, viewer: Viewer): Promise<Instance[]> =>
  visibleTo(db, viewer).orderBy('created_at').orderBy('id').execute()

/** Those of the names that exist and that the viewer may see, oldest first. */
export async function listInstancesByName(
  db: Kysely<DB>,
  viewer: Viewer,
  names: readonly string[],
): Promise<Instance[]> {
  const storable = storableNames(names)
  if (storable.length === 0) return []
  return visibleTo(db, viewer)
    .where(sql<boolean>`name = any(${storable}::text[])`)
    .orderBy('created_at')
    .orderBy('id')
    .execute()
}

/** The first instances after a position, in the same order; one look into an index, however far down the list. */
export function listInstancesAfter(
  db: Kysely<DB>,
  viewer: Viewer,
  { first, after }: { first: number; after: Position | null },
): Promise<Instance[]> {
  const visible = visibleTo(db, viewer).orderBy('created_at').orderBy('id').limit(first)
  if (!after) return visible.execute()
  return visible.where(sql<boolean>`(created_at, id) > (${after.createdAt}, ${after.id})`).execute()
}

/** Those of the ids that exist and that the viewer may see. */
export async function listInstancesById(db: Kysely<DB>, viewer: Viewer, ids: readonly string[]): Promise<Instance[]> {
  if (ids.length === 0) return []
  return visibleTo(db, viewer)
    .where(sql<boolean>`id = any(${ids}::uuid[])`)
    .execute()
}

/** An instance as a user names it: one of the two. */
export type InstanceRef = { id?: string | null; name?: string | null }

/** The instance of an id or of an exact name, if the viewer may see it. */
export const findInstance = (db: Kysely<DB>, viewer: Viewer, ref: InstanceRef): Promise<Instance | undefined> =>
  findOne(visibleTo(db, viewer), ref)

/** The same, locked until the transaction ends. */
export const lockInstance = (
  transaction: Kysely<DB>,
  viewer: Viewer,
  ref: InstanceRef,
): Promise<Instance | undefined> => findOne(visibleTo(transaction, viewer).forUpdate(), ref)

async function findOne(
  visible: ReturnType<typeof visibleTo>,
  { id, name }: InstanceRef,
): Promise<Instance | undefined> {
  if (id != null) return isUuid(id) ? visible.where('id', '=', id).executeTakeFirst() : undefined
  const [storable] = storableNames([name ?? ''])
  return storable === undefined ? undefined : visible.where('name', '=', storable).executeTakeFirst()
}
