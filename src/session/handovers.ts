import type { Kysely } from 'kysely'
import type { NodeLease } from '../cluster/lease.ts'
import type { NodeRef } from '../cluster/node.ts'
import { handOver, type Owning } from '../cluster/owners.ts'
import { chooseSuccessor, takesSessions } from '../cluster/successor.ts'
import type { DB } from '../db/types.ts'
import type { Logger } from '../logger.ts'
import type { RemoteSessions } from './remote.ts'
import type { Owned } from './fence.ts'
import type { Session } from './session.ts'

/** Sessions that are handed over at once. */
const HANDOVERS = 16
/** How long what a session has to write is waited for where nothing is in a hurry. */
const PATIENCE_MS = 30_000

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
  /** Sessions that were closed here and whose next owner is not known: this node's, unless it turns out otherwise. */
  readonly #stranded = new Map<Session, Owned>()
  readonly #telling = new Set<Promise<void>>()
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

  /** @param isInHurry the process ends: what is not written in a moment is not waited for */
  async giveAll({ isInHurry }: { isInHurry: boolean }): Promise<void> {
    const { lease, running } = this.#services
    const given = new Map<string, number>()
    const waiting = running()
    const giveNext = async (): Promise<void> => {
      for (let session = waiting.shift(); session && lease.isValid(); session = waiting.shift()) {
        await this.#give(session, given, { isInHurry })
      }
    }
    await Promise.all(Array.from({ length: HANDOVERS }, giveNext))
  }

  /** Resolves when the new owners have been told, who would find out by themselves a little later. */
  async told(): Promise<void> {
    await Promise.all(this.#telling)
  }

  /** Opens again what could not be given away. */
  async takeBack(): Promise<void> {
    for (const [session, owned] of this.#stranded) await this.#keep(session, owned)
  }

  /** Gives a session that rests to whom the next command for it is sent; false when it is not this node's any more. */
  async giveAtRest(session: Session, heir: NodeRef): Promise<boolean> {
    const epoch = await handOver(this.#services.db, { instanceId: session.instance.id, epoch: session.epoch }, heir)
    if (epoch !== undefined) this.#noteGiven(session, epoch)
    return epoch !== undefined
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
    if (quietest && least) await this.#give(quietest.session, new Map(), { named: least })
  }

  /** Closes the link and names the next owner; with none that takes it, it stays here. */
  async #give(
    session: Session,
    given: Map<string, number>,
    { named = null, isInHurry = false }: { named?: NodeRef | null; isInHurry?: boolean },
  ): Promise<void> {
    const { db, logger, lease, remote } = this.#services
    const { node } = lease
    if (!node) return
    const successor = named ?? chooseSuccessor(node, lease.list(), given, this.#arrivedAmong.get(session))
    if (!successor) return
    given.set(successor.id, (given.get(successor.id) ?? 0) + 1)
    const { id: instanceId } = session.instance
    const owned = { instanceId, epoch: session.epoch }
    this.#stranded.set(session, owned)
    try {
      const isWritten = await session.leave(isInHurry ? undefined : PATIENCE_MS)
      const epoch = isWritten || isInHurry ? await handOver(db, owned, successor) : undefined
      if (epoch === undefined) return await this.#keep(session, owned)
      this.#noteGiven(session, epoch)
      this.#tell(remote.take(successor, [instanceId]))
    } catch (error) {
      logger.warn({ instanceId, err: error }, 'a session could not be handed over; it is opened here again')
    }
  }

  /** Under a new epoch, since what was told under the old one ends with the link that was closed. */
  async #keep(session: Session, owned: Owned): Promise<void> {
    const { db, lease, onKept, onGiven } = this.#services
    if (!lease.node || !lease.isValid()) return
    const epoch = await handOver(db, owned, lease.node)
    this.#stranded.delete(session)
    if (epoch === undefined) onGiven(session)
    else onKept({ instance: session.instance, epoch })
  }

  #noteGiven(session: Session, epoch: number): void {
    this.#stranded.delete(session)
    this.#given.set(session.instance.id, epoch)
    this.#count++
    this.#services.onGiven(session)
  }

  #tell(telling: Promise<void>): void {
    const told = telling
      .catch((error) => this.#services.logger.debug({ err: error }, 'the next owner of a session could not be told'))
      .finally(() => this.#telling.delete(told))
    this.#telling.add(told)
  }
}
