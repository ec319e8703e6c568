import type { Kysely } from 'kysely'
import type { NodeLease } from '../cluster/lease.ts'
import type { NodeRef } from '../cluster/node.ts'
import { handOver, type Owning } from '../cluster/owners.ts'
import { chooseSuccessor, takesSessions } from '../cluster/successor.ts'
import type { DB } from '../db/types.ts'
import type { Logger } from '../logger.ts'
import type { RemoteSessions } from './remote.ts'
import type { Session } from './session.ts'

/** Sessions that are handed over at once. */
const HANDOVERS = 16

export type HandoverServices = {
  db: Kysely<DB>
  logger: Logger
  lease: NodeLease
  remote: RemoteSessions
  /** Sessions of this node that have a link, or want one. */
  running(): Session[]
  /** A session is another node's now. */
  onGiven(session: Session): void
  /** Nobody has taken a session, so that this node owns it under a new epoch. */
  onKept(owning: Owning): void
}

/** The giving away of this node's sessions: which one goes to whom, and what has gone. */
export class Handovers {
  readonly #services: HandoverServices
  /** Up to which epoch an instance was given away: what was read of it before that does not hold. */
  readonly #given = new Map<string, number>()
  /** The youngest node that was known when a session came here. */
  readonly #arrivedAmong = new WeakMap<Session, number>()
  #count = 0

  constructor(services: HandoverServices) {
    this.#services = services
  }

  /** How many sessions were given away since the start. */
  get count(): number {
    return this.#count
  }

  /** To be told of each session that comes here. */
  noteArrival(session: Session): void {
    const { lease } = this.#services
    const epochs = [...lease.list(), ...(lease.node ? [lease.node] : [])].map(({ epoch }) => epoch)
    this.#arrivedAmong.set(session, Math.max(0, ...epochs))
  }

  /** Whether a session that this node owned with that epoch has gone since. */
  hasGiven(instanceId: string, epoch: number): boolean {
    return epoch <= (this.#given.get(instanceId) ?? -1)
  }

  /** The instance is gone. */
  forget(instanceId: string): void {
    this.#given.delete(instanceId)
  }

  async giveAll(): Promise<void> {
    const given = new Map<string, number>()
    const waiting = this.#services.running()
    const giveNext = async (): Promise<void> => {
      for (let session = waiting.shift(); session; session = waiting.shift()) await this.#give(session, given)
    }
    await Promise.all(Array.from({ length: HANDOVERS }, giveNext))
  }

  /** Gives one session away, the quietest, where this node has more than its share. */
  async evenOut({ slack }: { slack: number }): Promise<void> {
    const { lease, running } = this.#services
    const others = lease.list().filter(takesSessions)
    const mine = running()
    const share = Math.ceil((mine.length + others.reduce((sum, { owned }) => sum + owned, 0)) / (others.length + 1))
    if (mine.length <= share + slack) return
    const [quietest] = mine
      .flatMap((session) => (session.quietMs === null ? [] : [{ session, quietMs: session.quietMs }]))
      .toSorted((one, other) => other.quietMs - one.quietMs)
    const [least] = others.toSorted((one, other) => one.owned - other.owned)
    if (quietest && least) await this.#give(quietest.session, new Map(), least)
  }

  /** Closes the link and names the next owner; with none that takes it, it stays here. */
  async #give(session: Session, given: Map<string, number>, named: NodeRef | null = null): Promise<void> {
    const { db, logger, lease, remote } = this.#services
    const { node } = lease
    if (!node) return
    const successor = named ?? chooseSuccessor(node, lease.list(), given, this.#arrivedAmong.get(session))
    if (!successor) return
    given.set(successor.id, (given.get(successor.id) ?? 0) + 1)
    const { id: instanceId } = session.instance
    try {
      await session.leave()
      const owned = { instanceId, epoch: session.epoch }
      const epoch = await handOver(db, owned, successor)
      if (epoch !== undefined) {
        this.#given.set(instanceId, epoch)
        this.#count++
        this.#services.onGiven(session)
        await remote.take(successor, [instanceId])
        return
      }
      const kept = await handOver(db, owned, node)
      if (kept !== undefined) this.#services.onKept({ instance: session.instance, epoch: kept })
    } catch (error) {
      logger.warn({ instanceId, err: error }, 'a session could not be handed over; it is found when this node is gone')
    }
  }
}
