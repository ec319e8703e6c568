import type { Kysely } from 'kysely'
import type { DB } from '../db/types.ts'
import type { Logger } from '../logger.ts'
import { identifyAmongMachines, isCertainlyGone } from '../process-identity.ts'
import { within } from '../within.ts'
import { CoalescedReading } from './coalesced-reading.ts'
import type { NodeRef, PeerNode, Peers } from './node.ts'
import { buryNode, LEASE_MS, type LiveNode, registerNode, type Registration, renewLease } from './nodes.ts'

const RENEW_MS = 2_000
const JITTER_MS = 250
/** After a renewal that failed. */
const RENEW_AGAIN_MS = 500
/** So much earlier than the database this node takes its lease for ended: links need a moment to close. */
const MARGIN_MS = 1_000
const HELD_MS = LEASE_MS - MARGIN_MS
/** A statement that takes longer is of no use any more. */
const STATEMENT_MS = 3_000

/** What follows from a lease. None of it is awaited. */
export type LeaseEvents = {
  /** The lease holds: for the first time, again, or still. `now` is the time of the database. */
  onHeld(now: Date): void
  /** The deadline has passed and nothing is known: nothing may be done with the sessions until it holds again. */
  onDoubt(): void
  /** This registration was ended by others: its sessions may be owned by anybody. */
  onLost(): void
  /** The operator has asked this node to give its sessions away. */
  onDrain(): void
}

type Change = Parameters<Parameters<Peers['onChange']>[0]>[0]

/**
 * The registration of this process among the nodes, renewed by one statement for all its sessions. Whether it holds is
 * known without asking anybody, from a clock that nobody sets: the database may say that it has ended only after this
 * node has taken it for ended by itself. That clock stands still while the machine is suspended, and the one on the wall
 * may be set: where they do not agree the database is asked.
 */
export class NodeLease implements Peers {
  readonly #db: Kysely<DB>
  readonly #logger: Logger
  readonly #registration: Omit<Registration, 'isDraining'>
  readonly #events: LeaseEvents
  readonly #owned: () => number
  readonly #listeners = new Set<(change: Change) => void>()
  readonly #known: Promise<void>
  #becomeKnown = () => {}
  #node: NodeRef | null = null
  #self: LiveNode | null = null
  #peers: readonly LiveNode[] = []
  /** The peers that listeners know of. */
  #told: readonly LiveNode[] = []
  /** When the renewal was asked for by which it holds, on the monotonic clock and on the wall's; null: it does not. */
  #held: { monotonic: number; wall: number } | null = null
  #isInDoubt = true
  #failures = 0
  #watch: NodeJS.Timeout | undefined
  #next: NodeJS.Timeout | undefined
  readonly #renewals = new CoalescedReading(() => this.#renewOrRegister())
  #isClosed = false

  /** @param owned how many sessions this node runs */
  constructor(
    db: Kysely<DB>,
    logger: Logger,
    registration: Omit<Registration, 'process' | 'isDraining'>,
    owned: () => number,
    events: LeaseEvents,
  ) {
    this.#db = db
    this.#logger = logger
    this.#registration = { ...registration, process: identifyAmongMachines() }
    this.#owned = owned
    this.#events = events
    this.#known = new Promise((resolve) => {
      this.#becomeKnown = resolve
    })
  }

  /** The present registration; null before the first. */
  get node(): NodeRef | null {
    return this.#node
  }

  /** Whether other nodes can reach this one. */
  get isReachable(): boolean {
    return this.#registration.address !== null
  }

  get isDraining(): boolean {
    return this.#self?.isDraining ?? false
  }

  /** Renewals that failed since the start. */
  get failures(): number {
    return this.#failures
  }

  /**
   * Whether this node may act as the owner of its sessions, at once. A node that takes no commands from others and knew
   * of none is the only one, and goes on while the database is away.
   */
  isValid(): boolean {
    if (!this.#node || this.#isClosed) return false
    if (this.#registration.address === null && this.#peers.length === 0) return true
    return this.#isRunning && Date.now() - (this.#held?.wall ?? 0) < HELD_MS
  }

  /** The same; where only the clock on the wall says that it has ended, the database is asked. */
  confirm(): boolean | Promise<boolean> {
    if (this.isValid()) return true
    return this.#isRunning && !this.#isClosed && this.renewNow().then(() => this.isValid())
  }

  get #isRunning(): boolean {
    return this.#held !== null && performance.now() - this.#held.monotonic < HELD_MS
  }

  /**
   * Whether this node runs sessions: one that the others can reach does, unless one that they cannot reach was here
   * before it; one that they cannot reach runs them while it is the oldest.
   */
  get takesPart(): boolean {
    const { epoch } = this.#node ?? { epoch: 0 }
    const older = this.#peers.filter((peer) => peer.epoch < epoch)
    return older.every(({ address }) => address !== null && this.#registration.address !== null)
  }

  list(): readonly PeerNode[] {
    return this.#peers
  }

  whenKnown(): Promise<void> {
    return this.#known
  }

  onChange(listener: (change: Change) => void): () => void {
    this.#listeners.add(listener)
    return () => void this.#listeners.delete(listener)
  }

  /** Registers, and renews from then on. Resolves after the first try, whatever comes of it. */
  async open(): Promise<void> {
    await this.#turn()
  }

  /** Renews at once, to know of the nodes that there are now. */
  renewNow(): Promise<void> {
    return this.#turn()
  }

  /** Ends the registration: what this node owned is nobody's. */
  async close(): Promise<void> {
    this.#isClosed = true
    clearTimeout(this.#watch)
    clearTimeout(this.#next)
    const end = this.#renewals.ask().then(() => this.#node && buryNode(this.#db, this.#node).catch(() => undefined))
    // A database that is away is not waited for: the lease ends by itself.
    await within(MARGIN_MS, end)
  }

  #turn(): Promise<void> {
    clearTimeout(this.#next)
    return this.#renewals.ask()
  }

  async #renewOrRegister(): Promise<void> {
    if (this.#isClosed) return
    try {
      await (this.#node ? this.#renew(this.#node) : this.#register())
      this.#plan(Math.min(RENEW_MS, ...this.#peers.map(({ msLeft }) => Math.max(100, msLeft))))
    } catch (error) {
      this.#failures++
      this.#plan(RENEW_AGAIN_MS)
      this.#logger.warn({ err: error }, 'the lease on the sessions could not be renewed yet')
      if (!this.isValid()) this.#doubt()
    }
  }

  /** Sooner than usual when the lease of another node is about to end, so that its sessions do not wait. */
  #plan(ms: number): void {
    if (this.#isClosed) return
    clearTimeout(this.#next)
    this.#next = setTimeout(() => void this.#turn(), ms + Math.random() * JITTER_MS)
  }

  async #register(): Promise<void> {
    const sent = present()
    const node = await inTime(registerNode(this.#db, { ...this.#registration, isDraining: this.isDraining }))
    if (this.#isClosed) return
    this.#node = node
    // With what is known of the others, which decides whether there is anything to do.
    await this.#renew(node, sent)
  }

  async #renew(node: NodeRef, sent = present()): Promise<void> {
    const renewal = await inTime(renewLease(this.#db, node, this.#owned()))
    if (this.#isClosed) return
    if (!renewal) return this.#lose()
    const gone = renewal.nodes.filter(({ process }) => isCertainlyGone(process))
    const alive = renewal.nodes.filter((one) => !gone.includes(one))
    const wasDraining = this.isDraining
    this.#self = alive.find(({ id }) => id === node.id) ?? null
    this.#peers = alive.filter(({ id }) => id !== node.id)
    this.#hold(sent)
    for (const one of gone) await inTime(buryNode(this.#db, one))
    if (this.#isClosed) return
    this.#tellOfPeers()
    this.#becomeKnown()
    this.#inform(() => this.#events.onHeld(renewal.now))
    if (this.isDraining && !wasDraining) this.#inform(() => this.#events.onDrain())
  }

  #hold(sent: ReturnType<typeof present>): void {
    this.#held = sent
    this.#isInDoubt = false
    this.#watchDeadline()
  }

  #lose(): void {
    this.#logger.error('this node was taken for gone, and others may own its sessions')
    this.#held = null
    this.#isInDoubt = true
    clearTimeout(this.#watch)
    // Under the name that it had: what the sessions were last is told as this node's word.
    this.#inform(() => this.#events.onLost())
    this.#node = null
    // At once, under a new epoch.
    setImmediate(() => void this.#turn())
  }

  #watchDeadline(): void {
    clearTimeout(this.#watch)
    const left = (this.#held?.monotonic ?? 0) + HELD_MS - performance.now()
    this.#watch = setTimeout(
      () => {
        if (this.isValid()) this.#watchDeadline()
        else this.#doubt()
      },
      // An only node that goes on without the database looks again from time to time.
      left > 0 ? left : RENEW_MS,
    )
  }

  #doubt(): void {
    this.#held = null
    if (this.#isInDoubt || this.#isClosed) return
    this.#isInDoubt = true
    this.#logger.error('the lease on the sessions could not be renewed in time, so their links are closed')
    this.#inform(() => this.#events.onDoubt())
  }

  #tellOfPeers(): void {
    const before = this.#told
    this.#told = this.#peers
    const [old, present] = [new Set(before.map(keyOf)), new Set(this.#peers.map(keyOf))]
    const come = this.#peers.filter((peer) => !old.has(keyOf(peer)))
    const gone = before.filter((peer) => !present.has(keyOf(peer)))
    if (come.length + gone.length === 0) return
    for (const listener of this.#listeners) this.#inform(() => listener({ come, gone }))
  }

  /** What others make of the lease is no failure of it. */
  #inform(tell: () => void): void {
    try {
      tell()
    } catch (error) {
      this.#logger.error({ err: error }, 'what follows from the lease could not be done')
    }
  }
}

const present = () => ({ monotonic: performance.now(), wall: Date.now() })

/** What a change of a peer is seen by. */
const keyOf = ({ id, epoch, isDraining }: PeerNode): string => `${id} ${epoch} ${isDraining}`

async function inTime<Result>(statement: Promise<Result>): Promise<Result> {
  const outcome = await within(
    STATEMENT_MS,
    statement.then((result) => ({ result })),
  )
  if (!outcome) throw new Error('The database did not answer in time')
  return outcome.result
}
