import { type Kysely, sql } from 'kysely'
import { inTransaction } from '../db/transaction.ts'
import type { DB } from '../db/types.ts'
import type { NodeRef, PeerNode } from './node.ts'

/** How long a node counts as alive after each renewal, by the clock of the database. */
export const LEASE_MS = 10_000

/** What a node tells of itself when it registers. */
export type Registration = {
  id: string
  /** Where it takes commands from other nodes; null when it takes none. */
  address: string | null
  /** Which process it is, for others on the same machine. */
  process: string | null
  /** For people. */
  name: string
  /** What its key is known by; null for a node that the others cannot reach. */
  keyCheck: string | null
  /** Whether it was asked to give its sessions away under an earlier registration. */
  isDraining: boolean
}

/** A live node, and how long its lease holds yet. */
export type LiveNode = PeerNode & { process: string | null; msLeft: number }

/** A renewal's answer: all live nodes, this one among them, and the time of the database. */
export type Renewal = { nodes: LiveNode[]; now: Date }

const leaseUntil = sql<Date>`clock_timestamp() + ${LEASE_MS} * interval '1 millisecond'`

/**
 * Registers under an epoch above every one that was used before, so that what this node tells of instances at rest comes
 * after all that was told of them. One after the other: of two nodes the one with the lower epoch was there first.
 */
export const registerNode = (
  db: Kysely<DB>,
  { id, address, process, name, keyCheck, isDraining }: Registration,
): Promise<NodeRef> =>
  inTransaction(db, async (transaction) => {
    await sql`lock table nodes in share row exclusive mode`.execute(transaction)
    await transaction.deleteFrom('nodes').where('id', '=', id).execute()
    const epoch = await nextEpoch(transaction)
    await transaction
      .insertInto('nodes')
      .values({
        id,
        epoch,
        address,
        process,
        name,
        key_check: keyCheck,
        is_draining: isDraining,
        lease_until: leaseUntil,
      })
      .execute()
    return { id, epoch }
  })

/**
 * Sessions are given to every node, which has to be able to read them.
 * @throws when a living node has a key that this one does not know
 */
export async function refuseOtherKeys(db: Kysely<DB>, keyChecks: readonly string[]): Promise<void> {
  const stranger = await db
    .selectFrom('nodes')
    .select('name')
    .where(sql<boolean>`lease_until > clock_timestamp() and key_check <> all(${keyChecks}::text[])`)
    .executeTakeFirst()
  if (stranger) {
    throw new Error(
      `The node ${stranger.name} of this deployment has another ENCRYPTION_KEY. All nodes need the same one; while it is replaced, set ENCRYPTION_KEY_PREVIOUS to the other`,
    )
  }
}

/** A number above every epoch so far. */
export async function nextEpoch(db: Kysely<DB>): Promise<number> {
  const { rows } = await sql<{ epoch: number }>`
    select setval('node_epochs', greatest(
      nextval('node_epochs'), (select coalesce(max(epoch), 0) + 1 from session_owners)
    ))::int as epoch`.execute(db)
  return rows[0]?.epoch ?? 0
}

/** Prolongs the lease, and buries nodes whose lease has ended. Null when this node was buried itself. */
export async function renewLease(db: Kysely<DB>, { id, epoch }: NodeRef, owned: number): Promise<Renewal | null> {
  const { rows } = await sql<LiveNode & { now: Date }>`
    with buried as (
      delete from nodes where id in (
        select id from nodes where lease_until < clock_timestamp() and id <> ${id} for update skip locked
      ) returning id
    ), mine as (
      update nodes set lease_until = ${leaseUntil}, owned = ${owned} where id = ${id} and epoch = ${epoch} returning id
    )
    select id, epoch::int as epoch, address, is_draining as "isDraining", started_at as "startedAt", owned, process,
      (extract(epoch from lease_until - clock_timestamp()) * 1000)::int as "msLeft", clock_timestamp() as now
    from nodes
    where exists (select from mine) and id not in (select id from buried)
    order by epoch`.execute(db)
  const [first] = rows
  return first ? { nodes: rows, now: first.now } : null
}

/** Ends a registration: its sessions are nobody's from then on. */
export const buryNode = async (db: Kysely<DB>, { id, epoch }: NodeRef): Promise<void> => {
  await db.deleteFrom('nodes').where('id', '=', id).where('epoch', '=', String(epoch)).execute()
}

/** Has a node give its sessions away, and take none. */
export const setDraining = async (db: Kysely<DB>, { id, epoch }: NodeRef): Promise<void> => {
  await db
    .updateTable('nodes')
    .set({ is_draining: true })
    .where('id', '=', id)
    .where('epoch', '=', String(epoch))
    .execute()
}

/**
 * Registered nodes, the oldest first, also those whose lease has ended and whom nobody has buried yet. `running` is what a
 * node said when it last renewed its lease; `owned` counts instances at rest, too.
 */
export async function listNodes(db: Kysely<DB>) {
  const { rows } = await sql<PeerNode & { name: string; msLeft: number; running: number; leaseUntil: Date }>`
    select id, epoch::int as epoch, name, address, is_draining as "isDraining", started_at as "startedAt",
      owned as running, lease_until as "leaseUntil",
      (select count(*)::int from session_owners
       where node_id = nodes.id and node_epoch = nodes.epoch) as owned,
      (extract(epoch from lease_until - clock_timestamp()) * 1000)::int as "msLeft"
    from nodes order by epoch`.execute(db)
  return rows
}
