import { hostname } from 'node:os'
import { randomUUID } from 'node:crypto'
import type { Kysely } from 'kysely'
import type { SessionHere } from '../cluster/announcements.ts'
import { NodeLease } from '../cluster/lease.ts'
import type { NodeRef, Ownership, Peers } from '../cluster/node.ts'
import { nextEpoch, setDraining } from '../cluster/nodes.ts'
import {
  claimAlone,
  claimOne,
  claimWanted,
  claimWantedAlone,
  handOver,
  listOwnedSince,
  ownerOf,
  ownersOf,
  type Owning,
} from '../cluster/owners.ts'
import { chooseSuccessor } from '../cluster/successor.ts'
import { reasonOf } from '../connection/reasons.ts'
import { statusAtRest, statusOfDeleted } from '../connection/rest.ts'
import { sequenceOf } from '../connection/sequence.ts'
import type { ConnectionState, ConnectionStatus } from '../connection/state.ts'
import type { ConnectionTick } from '../connection/tick.ts'
import type { DB } from '../db/types.ts'
import { GatewayError, instanceNotFound, serviceUnavailable } from '../errors.ts'
import { Topics } from '../events.ts'
import type { Instance } from '../instance/queries.ts'
import type { PairingStep } from '../pairing/step.ts'
import { createCaches } from './caches.ts'
import { forgetOutdatedClients, listExisting } from './facts.ts'
import { NotOurs } from './fence.ts'
import { LINK_TIMINGS, type LinkTimings } from './link.ts'
import type { LinkServices } from './open-link.ts'
import { OpeningGate } from './opening-gate.ts'
import { NotOwner, type RemoteSessions, type SessionOrder } from './remote.ts'
import { Session, type SessionServices } from './session.ts'

const TAKE_AGAIN_MS = 1_000
/** Sessions of instances that were deleted by another process, or by hand, are looked for so often. */
const LOOK_FOR_DELETED_MS = 10_000
/** Sessions that are claimed in one statement: all where nobody else wants any, or few, so that all get some. */
const BATCH_ALONE = 1_000
const BATCH = 50
/** Sessions above its fair share that a node may have. */
const SLACK = 2
/** A statement that was under way at the last look has ended before this. */
const LOOK_BACK_MS = 15_000
/** Sessions that are handed over at once. */
const HANDOVERS = 16
/** The cluster has to have been the same for so long before sessions are moved to even it out. */
const CALM_MS = 60_000

export type RegistryServices = Omit<LinkServices, 'caches' | 'timings' | 'mayRead'> &
  Readonly<{
    maxOpening: number
    /** The database for what must not wait; null: nobody else can use it. */
    urgent: Kysely<DB> | null
    /** Where other nodes reach this one; null: this one works alone, and waits while another node is there. */
    address?: string | null
    /** Under which the others know this process; null: any. */
    nodeId?: string | null
    /** Sessions that this node runs at most. */
    capacity?: number | null
    timings?: LinkTimings | undefined
  }>

export const sessionsElsewhere = () =>
  new GatewayError(
    'SERVICE_UNAVAILABLE',
    'The sessions of this database are run by another process of the gateway. Ask that one, or stop it',
    { retryAfter: 5 },
  )

const draining = () =>
  new GatewayError('SERVICE_UNAVAILABLE', 'This node gives its sessions away. Ask again in a moment', { retryAfter: 1 })

/** What has happened to sessions in this process since it started. */
export type RegistryCounts = { handedOver: number; refusedWrites: number; failedRenewals: number }

/** The live sessions of this process: the only source of the present connection state of the instances that it owns. */
export class SessionRegistry {
  /** Changes, by account id. */
  readonly connectionTicks = new Topics<ConnectionTick>()
  /** Steps of pairing attempts, by instance id. */
  readonly pairingSteps = new Topics<PairingStep>()
  readonly #services: SessionServices & RegistryServices
  readonly #sessions = new Map<string, Session>()
  /** Up to which epoch an instance was given away: what was read of it before that does not hold. */
  readonly #given = new Map<string, number>()
  /** The youngest node that was known when a session came here. */
  readonly #arrivedAmong = new WeakMap<Session, number>()
  readonly #startedAt = new Date()
  readonly #lease: NodeLease | null
  #remote: RemoteSessions | null = null
  /** Of this process, above that of every session before it. */
  #epoch = 0
  /** Whether a database that nobody else has is ready. */
  #isReady = false
  #isInDoubt = false
  #isLeaving = false
  #isClosed = false
  #restores = false
  #tending: Promise<void> = Promise.resolve()
  #isTending = false
  #looksAgain = false
  /** The registration under which sessions were looked for last, and when, by the database's clock. */
  #looked: { node: NodeRef; at: Date } | null = null
  #changedAt = performance.now()
  #handedOver = 0
  #refusedWrites = 0
  #sweep: NodeJS.Timeout | undefined

  constructor(services: RegistryServices) {
    const { urgent, logger, address = null, capacity = null, nodeId = null } = services
    this.#lease =
      urgent &&
      new NodeLease(
        urgent,
        logger,
        { id: nodeId ?? randomUUID(), address, capacity, name: hostname() },
        () => this.running.length,
        {
          onHeld: (now) => this.#hold(now),
          onDoubt: () => this.#doubt(),
          onLost: () => this.#lose(),
          onDrain: () => logger.info('this node gives its sessions away, because it was asked to'),
        },
      )
    this.#lease?.onChange(() => {
      this.#changedAt = performance.now()
    })
    this.#services = {
      ...services,
      timings: services.timings ?? LINK_TIMINGS,
      caches: createCaches(),
      gate: new OpeningGate(services.maxOpening),
      mayRead: () => this.#lease?.isValid() ?? true,
      onChange: (instance) => this.#tell({ kind: 'changed', instance }),
      onGone: (instance) => this.#noteDeleted(instance),
      onPairingStep: (instanceId, step) => {
        this.pairingSteps.publish(instanceId, step)
        const instance = this.#sessions.get(instanceId)?.instance
        if (instance) this.#remote?.tellStep(instance, step)
      },
      onDoubt: () => this.#doubt(),
      onNotOurs: (session) => {
        this.#refusedWrites++
        this.#letGo(session)
      },
    }
  }

  /** The nodes beside this one; null where there can be none. */
  get peers(): Peers | null {
    return this.#lease
  }

  /** This process among the nodes; null before it is registered, and where there can be none. */
  get node(): NodeRef | null {
    return this.#lease?.node ?? null
  }

  get counts(): RegistryCounts {
    return {
      handedOver: this.#handedOver,
      refusedWrites: this.#refusedWrites,
      failedRenewals: this.#lease?.failures ?? 0,
    }
  }

  /** Sessions of this node that have a link, or want one. */
  get running(): Session[] {
    return this.live.filter((session) => session.isRunning)
  }

  /** Sessions of the instances that this node owns. */
  get live(): Session[] {
    return [...this.#sessions.values()].filter((session) => !session.isOver)
  }

  /** Gives the way to the sessions of other nodes. */
  reach(remote: RemoteSessions): void {
    this.#remote = remote
  }

  /** The present connection of an instance, at once: it awaits nothing and reads no row. */
  statusOf(instance: Instance): ConnectionStatus {
    const session = this.#sessions.get(instance.id)
    if (session && !session.isOver) return session.status()
    const status = this.#remote?.statusOf(instance) ?? session?.status()
    if (status) return status
    const rest = statusAtRest(instance, this.#startedAt, sequenceOf(this.#epoch, 0))
    return rest.reason?.code === 'UNKNOWN' && !this.#takesPart ? { ...rest, reason: reasonOf('HANDOVER') } : rest
  }

  /** How many sessions this process has, by the state that they show. */
  countByState(): Record<ConnectionState, number> {
    const counts: Record<ConnectionState, number> = { connected: 0, connecting: 0, disconnected: 0, loggedout: 0 }
    for (const session of this.live) counts[session.status().state] += 1
    return counts
  }

  /** Whether streams hear of the sessions of other nodes late. */
  isDelayed(): boolean {
    return this.#remote?.isDelayed() ?? false
  }

  /** The present step of an instance's running pairing attempt; null when none runs. */
  pairingStepOf(instanceId: string): PairingStep | null {
    const session = this.#sessions.get(instanceId)
    return session && !session.isOver ? session.pairingStep : (this.#remote?.stepOf(instanceId) ?? null)
  }

  /** Resolves when the connections of an account can be told truly; undefined when they can already. */
  prepare(accountId: string): Promise<void> | undefined {
    return this.#remote?.prepare(accountId)
  }

  /**
   * Runs sessions from now on, or as soon as the process that does is gone; false when it has to wait for that.
   * @param restores whether every session that is wanted is opened, or only those that are asked for
   */
  async start({ restores }: { restores: boolean }): Promise<boolean> {
    this.#restores = restores
    this.#sweep = setInterval(() => void this.#forgetDeleted(), LOOK_FOR_DELETED_MS).unref()
    if (this.#lease) {
      await this.#lease.open()
      await this.#tending
    } else await this.#startAlone()
    return this.#takesPart
  }

  connect(instance: Instance, phoneNumber: string | null): Promise<Instance> {
    return this.#command(instance, { kind: 'connect', phoneNumber })
  }

  /** @throws GatewayError CONFLICT when it was never paired */
  reconnect(instance: Instance): Promise<Instance> {
    return this.#command(instance, { kind: 'reconnect' })
  }

  disconnect(instance: Instance): Promise<Instance> {
    return this.#command(instance, { kind: 'disconnect' })
  }

  /** @throws GatewayError SERVICE_UNAVAILABLE when WhatsApp could not be told */
  logOut(instance: Instance): Promise<Instance> {
    return this.#command(instance, { kind: 'logOut' })
  }

  /**
   * Does what another node has been asked for.
   * @throws NotOwner when this node does not own the instance
   */
  async obey(instance: Instance, order: SessionOrder): Promise<Instance> {
    const session = await this.#sessionOf(instance)
    if (!(session instanceof Session)) throw new NotOwner()
    await this.#carryOut(session, order)
    return session.instance
  }

  /** Looks at once for sessions that this node was given. */
  take(): Promise<void> {
    if (this.#looked && this.#lease?.isValid()) this.#look(this.#looked.at)
    return this.#tending
  }

  /** After the commit: a running session behaves by the new settings. */
  async applySettings(instance: Instance): Promise<void> {
    try {
      const session = this.#sessions.get(instance.id)
      if (session && !session.isOver) await session.applySettings()
      else await this.#orderElsewhere([instance], { kind: 'applySettings' })
    } catch (error) {
      this.#services.logger.warn({ instanceId: instance.id, err: error }, 'new settings act from the next opening on')
    }
  }

  /** Tells streams of an instance that was created. Called after the commit. */
  noteCreated(instance: Instance): void {
    this.#tell({ kind: 'added', instance })
  }

  /**
   * Runs a deletion while the sessions of what is to be deleted are closed, and tells streams of the instances that it
   * returns. The sessions come back when it fails.
   */
  async deleteInstances(
    instances: readonly Instance[],
    erase: () => Promise<readonly Instance[]>,
  ): Promise<readonly Instance[]> {
    const running = instances.flatMap(({ id }) => this.#sessions.get(id) ?? []).filter((session) => !session.isOver)
    const elsewhere = instances.filter(({ id }) => !running.some(({ instance }) => instance.id === id))
    // Where the owner cannot be reached it finds out by itself, a little later.
    const paused = await this.#orderElsewhere(elsewhere, { kind: 'pause' })
    await Promise.all(running.map((session) => session.pause()))
    try {
      const erased = await erase()
      for (const instance of erased) this.#noteDeleted(instance)
      void this.#order(paused, { kind: 'forget' })
      return erased
    } catch (error) {
      for (const session of running) session.resume()
      void this.#order(paused, { kind: 'resume' })
      throw error
    }
  }

  /** Takes no sessions any more, and hands those of this node over to others that can be told. The node stays registered. */
  async leave(): Promise<void> {
    const { urgent } = this.#services
    const { node } = this
    if (!urgent || !node || !this.#remote) return
    this.#isLeaving = true
    // So that nobody names this node as a successor any more; one that does all the same is found out below.
    await Promise.all([this.#tending, setDraining(urgent, node).catch(() => undefined)])
    // One that has just been started is to be known as well.
    await this.#lease?.renewNow()
    await this.#giveAll()
  }

  /** Ends all links and writes what is left to be written; the instances stay as they are wanted. */
  async close(): Promise<void> {
    this.#isClosed = true
    clearInterval(this.#sweep)
    await Promise.all(this.live.map((session) => session.close()))
    await this.#lease?.close()
  }

  get #takesPart(): boolean {
    if (this.#isClosed) return false
    return this.#lease ? this.#lease.isValid() && this.#lease.takesPart : this.#isReady
  }

  // Beginning, holding, losing.

  async #startAlone(): Promise<void> {
    const { db, logger } = this.#services
    try {
      // Each time anew, so that what is told from now on comes after all that any process has told.
      this.#epoch = await nextEpoch(db)
      this.#isReady = true
      if (!this.#restores) return
      await forgetOutdatedClients(db)
      this.#open(await claimWantedAlone(db, this.#epoch))
    } catch (error) {
      if (this.#isClosed) return
      logger.warn({ err: error }, 'the sessions could not be restored yet')
      setTimeout(() => void this.#startAlone(), TAKE_AGAIN_MS).unref()
    }
  }

  #hold(now: Date): void {
    if (this.#isInDoubt) {
      this.#isInDoubt = false
      for (const session of this.live) session.goOn()
    }
    this.#look(now)
  }

  /** One look after the other; what is given while one is under way is found by the next. */
  #look(now: Date): void {
    if (this.#isClosed || this.#isLeaving) return
    if (this.#isTending) {
      this.#looksAgain = true
      return
    }
    this.#isTending = true
    this.#looksAgain = false
    this.#tending = this.#tend(now)
      .catch((error) => this.#services.logger.warn({ err: error }, 'sessions could not be looked for yet'))
      .finally(() => {
        this.#isTending = false
        if (this.#looksAgain) this.#look(now)
      })
  }

  /** Nobody knows whether the sessions are this node's yet: there may be no link. */
  #doubt(): void {
    this.#isInDoubt = true
    for (const session of this.live) session.suspend()
  }

  /** Others may own the sessions. What they were last stays known, so that nothing older is told of them. */
  #lose(): void {
    this.#isInDoubt = false
    for (const session of this.live) this.#letGo(session)
  }

  #letGo(session: Session): void {
    session.letGo()
    this.#release(session)
  }

  /** It is over, and what comes next is told by its next owner. */
  #release(session: Session): void {
    const { instance } = session
    if (!this.#remote || this.#sessions.get(instance.id) !== session) return
    this.#sessions.delete(instance.id)
    if (this.node) this.#remote.noteReleased(this.node, instance, session.status())
  }

  /** Opens what this node was given, claims what nobody owns, and gives away what is above its share. */
  async #tend(now: Date): Promise<void> {
    const { db, logger } = this.#services
    const lease = this.#lease
    const node = lease?.node
    if (!node || !lease.takesPart) return
    const isNew = this.#looked?.node !== node
    if (isNew) {
      this.#epoch = node.epoch
      if (this.#restores) await forgetOutdatedClients(db)
    }
    const since = new Date(isNew ? 0 : (this.#looked?.at.getTime() ?? 0) - LOOK_BACK_MS)
    const given = await listOwnedSince(db, node, since)
    if (lease.node !== node || !lease.isValid()) return
    this.#looked = { node, at: now }
    this.#open(given.filter(({ instance }) => isWanted(instance)))
    if (lease.isDraining) return this.#giveAll()
    // Nodes that start together see each other before the first of them has claimed everything.
    const isSettling = isNew && lease.isReachable
    if (!this.#restores || isSettling) return
    const claimed = await this.#claim(lease, node)
    if (claimed > 0) logger.info({ sessions: claimed }, 'sessions are being opened')
    else await this.#evenOut(lease)
  }

  async #claim(lease: NodeLease, node: NodeRef): Promise<number> {
    let claimed = 0
    for (;;) {
      const sharers = lease.list().filter(({ address, isDraining }) => address !== null && !isDraining).length + 1
      const batch = sharers === 1 ? BATCH_ALONE : BATCH
      const { capacity = null } = this.#services
      const owned = await claimWanted(this.#services.db, node, {
        sharers,
        slack: sharers === 1 ? 0 : SLACK,
        capacity,
        batch,
      })
      if (lease.node !== node || !lease.isValid() || this.#isClosed) return claimed
      this.#open(owned)
      claimed += owned.length
      if (owned.length < batch) return claimed
    }
  }

  /** Moves one session, the quietest, where this node has more than its share and nothing has changed for a while. */
  async #evenOut(lease: NodeLease): Promise<void> {
    const others = lease.list().filter(({ address, isDraining }) => address !== null && !isDraining)
    if (this.#remote === null || others.length === 0 || performance.now() - this.#changedAt < CALM_MS) return
    const mine = this.running.length
    const share = Math.ceil((mine + others.reduce((sum, { owned }) => sum + owned, 0)) / (others.length + 1))
    if (mine <= share + SLACK) return
    const [quietest] = this.running.toSorted((one, other) => quietSince(one) - quietSince(other))
    const [least] = others.toSorted((one, other) => one.owned - other.owned)
    if (quietest?.idleSince && least) await this.#give(quietest, new Map(), least)
  }

  // Giving away.

  async #giveAll(): Promise<void> {
    if (!this.#remote || !this.#lease?.node) return
    const given = new Map<string, number>()
    const waiting = this.running
    const giveNext = async (): Promise<void> => {
      for (let session = waiting.shift(); session; session = waiting.shift()) await this.#give(session, given)
    }
    await Promise.all(Array.from({ length: HANDOVERS }, giveNext))
  }

  /** Closes the link and names the next owner; with none that takes it, it stays here. */
  async #give(session: Session, given: Map<string, number>, named: NodeRef | null = null): Promise<void> {
    const { db, logger } = this.#services
    const node = this.#lease?.node
    if (!node || !this.#lease) return
    const successor = named ?? chooseSuccessor(node, this.#lease.list(), given, this.#arrivedAmong.get(session))
    if (!successor) return
    given.set(successor.id, (given.get(successor.id) ?? 0) + 1)
    const { instance } = session
    const { id: instanceId } = instance
    try {
      await session.leave()
      const owned = { instanceId, epoch: session.epoch }
      const epoch = await handOver(db, owned, successor)
      if (epoch !== undefined) {
        this.#given.set(instanceId, epoch)
        this.#handedOver++
        this.#release(session)
        await this.#remote?.take(successor, [instanceId])
        return
      }
      const kept = await handOver(db, owned, node)
      if (kept !== undefined && !this.#isLeaving) this.#open([{ instance: session.instance, epoch: kept }])
    } catch (error) {
      logger.warn({ instanceId, err: error }, 'a session could not be handed over; it is found when this node is gone')
    }
  }

  // Owning.

  #open(owned: readonly Owning[]): void {
    if (this.#isClosed) return
    for (const { instance, epoch } of owned) {
      if (!this.#isKnown(instance.id, epoch)) this.#adopt(instance, epoch).restore()
    }
  }

  #isKnown(instanceId: string, epoch: number): boolean {
    const session = this.#sessions.get(instanceId)
    return (session !== undefined && session.epoch >= epoch) || epoch <= (this.#given.get(instanceId) ?? -1)
  }

  #adopt(instance: Instance, epoch: number): Session {
    const known = this.#sessions.get(instance.id)
    if (known && known.epoch >= epoch) return known
    known?.letGo()
    const session = new Session(this.#services, instance, epoch)
    this.#sessions.set(instance.id, session)
    this.#arrivedAmong.set(session, this.#youngest)
    return session
  }

  /** The epoch of the node that was started last, as far as is known here. */
  get #youngest(): number {
    return Math.max(0, this.node?.epoch ?? 0, ...(this.#lease?.list().map(({ epoch }) => epoch) ?? []))
  }

  /** The session of an instance, which is claimed when nobody owns it; or who else does. */
  async #sessionOf(instance: Instance): Promise<Session | NodeRef> {
    const known = this.#sessions.get(instance.id)
    if (known && !known.isOver) return known
    const { db } = this.#services
    if (!this.#lease) {
      const epoch = await claimAlone(db, this.#epoch, instance.id)
      if (epoch === undefined) throw instanceNotFound()
      return this.#adopt(instance, epoch)
    }
    const { node } = this.#lease
    if (!node || !this.#lease.isValid()) throw serviceUnavailable()
    const heir = this.#isLeaving || this.#lease.isDraining ? chooseSuccessor(node, this.#lease.list(), new Map()) : node
    if (!heir) throw draining()
    const claimed = await claimOne(db, heir, instance.id)
    if (claimed !== undefined) return this.#ownerIs(heir, instance, claimed)
    const ownership = await ownerOf(db, instance.id)
    if (!ownership) throw instanceNotFound()
    if (!ownership.node) throw serviceUnavailable()
    return this.#ownerIs(ownership.node, instance, ownership.epoch)
  }

  #ownerIs(owner: NodeRef, instance: Instance, epoch: number): Session | NodeRef {
    const node = this.#lease?.node
    if (owner.id !== node?.id || owner.epoch !== node.epoch) return owner
    // It may have been given away while the answer was on its way.
    if (epoch <= (this.#given.get(instance.id) ?? -1)) throw serviceUnavailable()
    return this.#adopt(instance, epoch)
  }

  // Commands.

  /** Asks the owner of an instance for something; returns the instance as it is then. */
  async #command(instance: Instance, order: SessionOrder): Promise<Instance> {
    if (!this.#takesPart) throw this.#remote ? serviceUnavailable() : sessionsElsewhere()
    try {
      return await this.#ask(instance, order)
    } catch (error) {
      if (!(error instanceof NotOwner || error instanceof NotOurs)) throw error
      // It has just changed hands; the next answer is the last.
      return this.#ask(instance, order).catch((again) => {
        throw again instanceof NotOwner || again instanceof NotOurs ? serviceUnavailable() : again
      })
    }
  }

  async #ask(instance: Instance, order: SessionOrder): Promise<Instance> {
    const owner = await this.#sessionOf(instance)
    if (!(owner instanceof Session)) {
      if (!this.#remote) throw sessionsElsewhere()
      return this.#remote.command(owner, instance, order)
    }
    await this.#carryOut(owner, order)
    return owner.instance
  }

  async #carryOut(session: Session, order: SessionOrder): Promise<void> {
    switch (order.kind) {
      case 'connect':
        return session.connect(order.phoneNumber)
      case 'reconnect':
        return session.reconnect()
      case 'disconnect':
        return session.disconnect()
      case 'logOut':
        return session.logOut()
      case 'pause':
        return session.pause()
      case 'resume':
        return session.resume()
      case 'forget':
        return this.#noteDeleted(session.instance)
      case 'applySettings':
        return session.applySettings()
    }
  }

  /** Tells the other owners of instances; returns those that have done it. */
  async #orderElsewhere(instances: readonly Instance[], order: SessionOrder): Promise<[NodeRef, Instance][]> {
    if (!this.#remote || instances.length === 0) return []
    const byId = new Map(instances.map((instance) => [instance.id, instance]))
    const owned = await ownersOf(this.#services.db, [...byId.keys()])
    const pairs = owned.flatMap(({ node, instanceId }: Ownership): [NodeRef, Instance][] => {
      const instance = byId.get(instanceId)
      return node && instance && node.id !== this.node?.id ? [[node, instance]] : []
    })
    return this.#order(pairs, order)
  }

  async #order(pairs: readonly [NodeRef, Instance][], order: SessionOrder): Promise<[NodeRef, Instance][]> {
    const done = await Promise.all(
      pairs.map(async (pair) => {
        try {
          await this.#remote?.command(...pair, order)
          return [pair]
        } catch (error) {
          this.#services.logger.warn(
            { instanceId: pair[1].id, order: order.kind, err: error },
            'the owner did not do it',
          )
          return []
        }
      }),
    )
    return done.flat()
  }

  // Telling.

  #tell(tick: ConnectionTick): void {
    this.connectionTicks.publish(tick.instance.accountId, tick)
    this.#remote?.tell(tick)
  }

  /** What other nodes are told of a session of this node; null when it has none that can be told of. */
  toTell(instanceId: string): SessionHere | null {
    const session = this.#sessions.get(instanceId)
    return session ? asTold(session) : null
  }

  listToTell(accountIds: ReadonlySet<string>): SessionHere[] {
    return [...this.#sessions.values()].flatMap((session) =>
      accountIds.has(session.instance.accountId) ? (asTold(session) ?? []) : [],
    )
  }

  /** Another node could not confirm the status of a session, and has told so. */
  tellAgain(instanceId: string): void {
    this.#sessions.get(instanceId)?.tellAgain()
  }

  /** Whether this node runs the session of an instance itself. */
  runs(instanceId: string): boolean {
    return this.#sessions.get(instanceId)?.isOver === false
  }

  // Deletions.

  /** Tells streams of an instance that is gone, with its last state. */
  #noteDeleted(instance: Instance): void {
    const session = this.#sessions.get(instance.id)
    this.#sessions.delete(instance.id)
    this.#given.delete(instance.id)
    const told = this.#remote?.statusOf(instance)?.sequence ?? sequenceOf(this.#epoch, 0)
    const last = session?.markDeleted() ?? statusOfDeleted(instance, new Date(), told + 2)
    this.#tell({ kind: 'removed', instance, last })
  }

  async #forgetDeleted(): Promise<void> {
    try {
      // Those that come while the database is asked are in no answer.
      const asked = [...this.#sessions.values()]
      const existing = new Set(
        await listExisting(
          this.#services.db,
          asked.map(({ instance }) => instance.id),
        ),
      )
      for (const session of asked) {
        const { instance } = session
        const isPresent = this.#sessions.get(instance.id) === session
        if (isPresent && !existing.has(instance.id)) this.#noteDeleted(instance)
      }
    } catch (error) {
      this.#services.logger.debug({ err: error }, 'deleted instances could not be looked for')
    }
  }
}

const quietSince = ({ idleSince }: Session): number => idleSince?.getTime() ?? Infinity

/** Of one that ends with the process nothing is told: its node is gone then. */
const asTold = (session: Session): SessionHere | null =>
  session.isOver && session.isRunning
    ? null
    : { instance: session.instance, status: session.status(), step: session.pairingStep }

/** Whether an instance's session is to run by itself. */
const isWanted = ({ desiredState, pairedAt, loggedOutAt, stopReason }: Instance): boolean =>
  desiredState === 'connected' && pairedAt !== null && loggedOutAt === null && stopReason === null
