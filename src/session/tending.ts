import type { Kysely } from 'kysely'
import type { NodeLease } from '../cluster/lease.ts'
import type { NodeRef } from '../cluster/node.ts'
import { claimWanted, listOwnedSince, type Owning } from '../cluster/owners.ts'
import { takesSessions } from '../cluster/successor.ts'
import type { DB } from '../db/types.ts'
import type { Instance } from '../instance/queries.ts'
import type { Logger } from '../logger.ts'
import { forgetOutdatedClients } from './facts.ts'
import type { Handovers } from './handovers.ts'

/** Sessions that are claimed in one statement: all where nobody else wants any, or few, so that all get some. */
const BATCH_ALONE = 1_000
const BATCH = 50
/** Sessions above its fair share that a node may have. */
const SLACK = 2
/** A statement that was under way at the last look has ended before this. */
const LOOK_BACK_MS = 15_000
/** Where there is no other node nothing becomes free by itself: what does by hand is looked for so often. */
const CLAIM_ALONE_MS = 30_000
/** The cluster has to have been the same for so long before sessions are moved to even it out. */
export const CALM_MS = 60_000

export type TendingServices = {
  db: Kysely<DB>
  logger: Logger
  lease: NodeLease
  /** null: there is nobody whom sessions could be given to. */
  handovers: Handovers | null
  /** Whether every session that is wanted is opened, or only those that are asked for. */
  restores: boolean
  calmMs: number
  /** This node looks for sessions under a new registration. */
  onRegistered(node: NodeRef): void
  /** Sessions that this node owns and that are to run; those that do already among them. */
  onOwned(owned: readonly Owning[]): void
}

/** Keeps a node at its share of the sessions: opens what it was given, claims what nobody owns, gives away what is above. */
export class Tending {
  readonly #services: TendingServices
  #running: Promise<void> = Promise.resolve()
  #isRunning = false
  #looksAgain = false
  #isStopped = false
  /** A new version of the client comes with a new process. */
  #hasBegun = false
  /** The registration under which sessions were looked for last, and when, by the database's clock. */
  #looked: { node: NodeRef; at: Date } | null = null
  /** When a node has come or gone, this one among them, on the monotonic clock. */
  #changedAt = performance.now()
  /** When what is free was claimed last, on the same. */
  #claimedAt = 0

  constructor(services: TendingServices) {
    this.#services = services
    services.lease.onChange(() => {
      this.#changedAt = performance.now()
    })
  }

  /** One look after the other; what is given while one is under way is found by the next. */
  look(now: Date): void {
    if (this.#isStopped) return
    if (this.#isRunning) {
      this.#looksAgain = true
      return
    }
    this.#isRunning = true
    this.#looksAgain = false
    this.#running = this.#tend(now)
      .catch((error) => this.#services.logger.warn({ err: error }, 'sessions could not be looked for yet'))
      .finally(() => {
        this.#isRunning = false
        if (this.#looksAgain) this.look(now)
      })
  }

  /** Looks before it is time to, because this node was given something. */
  lookAgain(): void {
    if (this.#looked && this.#services.lease.isValid()) this.look(this.#looked.at)
  }

  /** Resolves when the look that is under way is over. */
  idle(): Promise<void> {
    return this.#running
  }

  /** Takes no sessions any more. */
  stop(): Promise<void> {
    this.#isStopped = true
    return this.#running
  }

  async #tend(now: Date): Promise<void> {
    const { db, logger, lease, handovers, restores } = this.#services
    const { node } = lease
    if (!node || !lease.takesPart) return
    const isNew = this.#looked?.node !== node
    if (isNew) {
      this.#changedAt = performance.now()
      this.#services.onRegistered(node)
      if (restores && !this.#hasBegun) await forgetOutdatedClients(db)
      this.#hasBegun = true
    }
    await handovers?.takeBack()
    const since = new Date(isNew ? 0 : (this.#looked?.at.getTime() ?? 0) - LOOK_BACK_MS)
    const given = await listOwnedSince(db, node, since)
    if (lease.node !== node || !lease.isValid()) return
    this.#looked = { node, at: now }
    this.#services.onOwned(given.filter(({ instance }) => isWanted(instance)))
    if (lease.isDraining) return handovers?.giveAll({ isInHurry: false })
    // Nodes that start together see each other before the first of them has claimed everything.
    const isSettling = isNew && lease.isReachable
    if (!restores || isSettling || this.#isAtRest) return
    const claimed = await this.#claim(node)
    if (claimed > 0) logger.info({ sessions: claimed }, 'sessions are being opened')
    else if (performance.now() - this.#changedAt >= this.#services.calmMs) await handovers?.evenOut({ slack: SLACK })
  }

  /** Whether nothing can have become free. A stale owner that was writing at the last change has ended by now. */
  get #isAtRest(): boolean {
    const { lease } = this.#services
    const isAlone = !lease.isReachable && lease.list().length === 0
    const now = performance.now()
    return isAlone && now - this.#changedAt > LOOK_BACK_MS && now - this.#claimedAt < CLAIM_ALONE_MS
  }

  async #claim(node: NodeRef): Promise<number> {
    const { db, lease } = this.#services
    this.#claimedAt = performance.now()
    let claimed = 0
    for (;;) {
      const sharers = lease.list().filter(takesSessions).length + 1
      const batch = sharers === 1 ? BATCH_ALONE : BATCH
      const owned = await claimWanted(db, node, { sharers, slack: sharers === 1 ? 0 : SLACK, batch })
      if (lease.node !== node || !lease.isValid()) return claimed
      this.#services.onOwned(owned)
      claimed += owned.length
      if (this.#isStopped || owned.length < batch) return claimed
    }
  }
}

/** Whether an instance's session is to run by itself. */
const isWanted = ({ desiredState, pairedAt, loggedOutAt, stopReason }: Instance): boolean =>
  desiredState === 'connected' && pairedAt !== null && loggedOutAt === null && stopReason === null
