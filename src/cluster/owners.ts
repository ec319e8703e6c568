import { type Kysely, sql } from 'kysely'
import type { DB } from '../db/types.ts'
import { type Instance, instanceColumns } from '../instance/queries.ts'
import type { NodeRef, Ownership, PeerNode } from './node.ts'

/*
 * Who owns the session of an instance. Every change raises the instance's epoch, and is made only where the epoch is
 * still the one that the decision was made on: so that of two that decide at once one wins.
 */

/** An instance and the epoch that its session writes with. */
export type Owning = { instance: Instance; epoch: number }

/** The registration of an owner that is still there. */
const ownerLives = sql<boolean>`exists (
  select from nodes where nodes.id = session_owners.node_id and nodes.epoch = session_owners.node_epoch)`

/** Sessions that are to run: a link was asked for, a phone has accepted it, and it was not given up. */
const isWanted = sql<boolean>`instances.desired_state = 'connected' and instances.logged_out_at is null
  and instances.stop_reason is null and exists (select from auth_creds where auth_creds.instance_id = instances.id)`

/** The owner is still registered, and stays so until this is committed. */
const isRegistered = ({ id, epoch }: NodeRef) =>
  sql<boolean>`exists (select from nodes where id = ${id} and epoch = ${epoch} for key share)`

const instancesOf = async (
  db: Kysely<DB>,
  rows: readonly { instanceId: string; epoch: number }[],
): Promise<Owning[]> => {
  if (rows.length === 0) return []
  const epochs = new Map(rows.map(({ instanceId, epoch }) => [instanceId, epoch]))
  const instances = await db
    .selectFrom('instances')
    .select(instanceColumns)
    .where(sql<boolean>`id = any(${[...epochs.keys()]}::uuid[])`)
    .execute()
  return instances.map((instance) => ({ instance, epoch: epochs.get(instance.id) ?? 0 }))
}

/** How much a node may claim at once. */
export type ClaimLimits = {
  /** Live nodes that take sessions, this one among them. */
  sharers: number
  /** Sessions above its fair share that a node may take. */
  slack: number
  batch: number
}

/**
 * Claims sessions that are to run and that nobody owns, up to the node's fair share of all that are to run. Those that
 * another node is claiming at this moment, or that a stale owner is writing for, are passed over.
 */
export async function claimWanted(
  db: Kysely<DB>,
  node: NodeRef,
  { sharers, slack, batch }: ClaimLimits,
): Promise<Owning[]> {
  const { rows } = await sql<{ instanceId: string; epoch: number }>`
    with wanted as materialized (
      select session_owners.instance_id as id, session_owners.epoch, nodes.id as owner
      from instances join session_owners on session_owners.instance_id = instances.id
        left join nodes on nodes.id = session_owners.node_id and nodes.epoch = session_owners.node_epoch
      where ${isWanted}
    ), room as (
      select least(
        ${batch}::bigint,
        ceil(count(*)::numeric / ${sharers}) + ${slack} - count(*) filter (where owner = ${node.id})
      ) as size from wanted
    ), free as materialized (
      select id, epoch from wanted where owner is null
      order by random() limit (select greatest(0, size) from room)
    ), locked as materialized (
      select session_owners.instance_id as id
      from free join session_owners on session_owners.instance_id = free.id and session_owners.epoch = free.epoch
      for update of session_owners skip locked
    )
    update session_owners set node_id = ${node.id}, node_epoch = ${node.epoch},
      epoch = greatest(session_owners.epoch + 1, ${node.epoch}::bigint), claimed_at = clock_timestamp()
    from locked
    where session_owners.instance_id = locked.id and ${isRegistered(node)}
    returning session_owners.instance_id as "instanceId", session_owners.epoch::int as epoch`.execute(db)
  return instancesOf(db, rows)
}

/** Claims one instance that nobody owns; waits for a stale owner's write under way. Undefined when somebody owns it. */
export async function claimOne(db: Kysely<DB>, node: NodeRef, instanceId: string): Promise<number | undefined> {
  const { rows } = await sql<{ epoch: number }>`
    update session_owners set node_id = ${node.id}, node_epoch = ${node.epoch},
      epoch = greatest(epoch + 1, ${node.epoch}::bigint), claimed_at = clock_timestamp()
    where instance_id = ${instanceId} and ${isRegistered(node)}
      and epoch = (
        select session_owners.epoch from session_owners where instance_id = ${instanceId} and not ${ownerLives}
      )
    returning epoch::int as epoch`.execute(db)
  return rows[0]?.epoch
}

/** The same where nobody else can own anything: the embedded database, which one process uses at a time. */
export async function claimAlone(db: Kysely<DB>, epoch: number, instanceId: string): Promise<number | undefined> {
  const { rows } = await sql<{ epoch: number }>`
    update session_owners set epoch = greatest(epoch + 1, ${epoch}::bigint), claimed_at = clock_timestamp()
    where instance_id = ${instanceId} returning epoch::int as epoch`.execute(db)
  return rows[0]?.epoch
}

export async function claimWantedAlone(db: Kysely<DB>, epoch: number): Promise<Owning[]> {
  const { rows } = await sql<{ instanceId: string; epoch: number }>`
    update session_owners set epoch = greatest(session_owners.epoch + 1, ${epoch}::bigint), claimed_at = clock_timestamp()
    from instances where instances.id = session_owners.instance_id and ${isWanted}
    returning session_owners.instance_id as "instanceId", session_owners.epoch::int as epoch`.execute(db)
  return instancesOf(db, rows)
}

type Owned = { instanceId: string; epoch: number }

/** Gives a session to a live successor; the epoch that it writes with, or undefined when that is not possible. */
export async function handOver(
  db: Kysely<DB>,
  { instanceId, epoch }: Owned,
  successor: NodeRef,
): Promise<number | undefined> {
  const { rows } = await sql<{ epoch: number }>`
    update session_owners set node_id = ${successor.id}, node_epoch = ${successor.epoch}, epoch = epoch + 1,
      claimed_at = clock_timestamp()
    where instance_id = ${instanceId} and epoch = ${epoch} and ${isRegistered(successor)}
    returning epoch::int as epoch`.execute(db)
  return rows[0]?.epoch
}

/** Sessions that this node was given or has claimed since a moment of the database's clock. */
export async function listOwnedSince(db: Kysely<DB>, node: NodeRef, since: Date): Promise<Owning[]> {
  const rows = await db
    .selectFrom('session_owners')
    .select(['instance_id as instanceId', sql<number>`epoch::int`.as('epoch')])
    .where('node_id', '=', node.id)
    .where('node_epoch', '=', String(node.epoch))
    .where('claimed_at', '>=', since)
    .execute()
  return instancesOf(db, rows)
}

const ownerships = (db: Kysely<DB>) =>
  db
    .selectFrom('session_owners')
    .leftJoin('nodes', (join) =>
      join.onRef('nodes.id', '=', 'session_owners.node_id').onRef('nodes.epoch', '=', 'session_owners.node_epoch'),
    )
    .select([
      'instance_id as instanceId',
      sql<number>`session_owners.epoch::int`.as('epoch'),
      'nodes.id',
      sql<number | null>`nodes.epoch::int`.as('nodeEpoch'),
      'nodes.address',
      'nodes.is_draining as isDraining',
      'nodes.started_at as startedAt',
      'nodes.owned',
    ])

type OwnershipRow = Awaited<ReturnType<ReturnType<typeof ownerships>['execute']>>[number]

const asOwnership = ({ instanceId, epoch, nodeEpoch, ...node }: OwnershipRow): Ownership => ({
  instanceId,
  epoch,
  node: node.id === null ? null : ({ ...node, epoch: nodeEpoch } as PeerNode),
})

/** Who owns an instance; undefined when there is no such instance. */
export async function ownerOf(db: Kysely<DB>, instanceId: string): Promise<Ownership | undefined> {
  const row = await ownerships(db).where('instance_id', '=', instanceId).executeTakeFirst()
  return row && asOwnership(row)
}

/** Who owns each of some instances. */
export async function ownersOf(db: Kysely<DB>, instanceIds: readonly string[]): Promise<Ownership[]> {
  if (instanceIds.length === 0) return []
  const rows = await ownerships(db)
    .where(sql<boolean>`instance_id = any(${instanceIds}::uuid[])`)
    .execute()
  return rows.map(asOwnership)
}

/** Who owns the instances of some accounts. */
export async function ownersIn(db: Kysely<DB>, accountIds: readonly string[]): Promise<Ownership[]> {
  if (accountIds.length === 0) return []
  const rows = await ownerships(db)
    .where((where) =>
      where(
        'instance_id',
        'in',
        where
          .selectFrom('instances')
          .select('id')
          .where(sql<boolean>`account_id = any(${accountIds}::uuid[])`),
      ),
    )
    .execute()
  return rows.map(asOwnership)
}
