import { setTimeout as wait } from 'node:timers/promises'
import type { Kysely } from 'kysely'
import type { NodeRef } from '../cluster/node.ts'
import { listNodes, setDraining } from '../cluster/nodes.ts'
import type { DB } from '../db/types.ts'
import { badUserInput, GatewayError } from '../errors.ts'
import type { Follower } from './step.ts'

/** As often as a node tells how many sessions it runs. */
const LOOK_MS = 2_000

/** Every registered node, as an operator reads it. */
export async function listNodesForPeople(db: Kysely<DB>) {
  const nodes = await listNodes(db)
  return nodes.map(({ id, name, address, owned, running, isDraining, msLeft, startedAt }) => ({
    id,
    name,
    address,
    owned,
    running,
    state: msLeft < 0 ? 'gone' : isDraining ? 'draining' : 'live',
    leaseSeconds: Math.max(0, Math.round(msLeft / 1_000)),
    startedAt,
  }))
}

export const nameOfNode = async (db: Kysely<DB>, { id }: NodeRef): Promise<string | null> =>
  (await listNodes(db)).find((node) => node.id === id)?.name ?? null

/**
 * Asks a node to give its sessions away, and waits until it runs none.
 * @param wanted its id, the beginning of that, its address, or its name
 * @throws GatewayError BAD_USER_INPUT when it means none or several, CONFLICT when nobody could take the sessions
 */
export async function drainNode(db: Kysely<DB>, wanted: string, follower: Follower) {
  const nodes = (await listNodes(db)).filter(({ msLeft }) => msLeft >= 0)
  const isMeant = ({ id, name, address }: (typeof nodes)[number]) =>
    wanted !== '' && (id.startsWith(wanted) || address === wanted || name === wanted)
  const meant = nodes.filter(isMeant)
  const [node] = meant
  if (!node) throw badUserInput('node', `There is no live node ${wanted}. "node list" shows those that there are`)
  if (meant.length > 1) {
    throw badUserInput('node', `${wanted} may be ${meant.map(({ id }) => id).join(' or ')}. Give more of the id`)
  }
  const others = nodes.filter(({ id, address, isDraining }) => id !== node.id && address !== null && !isDraining)
  if (node.address === null || others.length === 0) {
    throw new GatewayError(
      'CONFLICT',
      'No other node could take the sessions. Start another gateway with the same DATABASE_URL and REDIS_URL first',
    )
  }
  await setDraining(db, node)
  await untilDrained(db, node, follower)
  return { id: node.id, name: node.name, sessions: node.running, successors: others.length }
}

/** A node that is gone meanwhile runs none, either. */
async function untilDrained(
  db: Kysely<DB>,
  { id, leaseUntil }: { id: string; leaseUntil: Date },
  { tell, signal }: Follower,
): Promise<void> {
  while (!signal.aborted) {
    const node = (await listNodes(db)).find((one) => one.id === id)
    // What it said before it was asked does not count.
    if (!node || (node.running === 0 && node.leaseUntil > leaseUntil)) return
    const message = `Sessions that are still to be handed over: ${node.running}`
    if (node.running > 0) tell({ kind: 'state', state: 'draining', message })
    await wait(LOOK_MS)
  }
}
