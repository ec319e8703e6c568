import { hostname } from 'node:os'
import { randomUUID } from 'node:crypto'
import type { Kysely } from 'kysely'
import type { SessionHere } from '../cluster/announcements.ts'
import { NodeLease } from '../cluster/lease.ts'
import type { NodeRef, Peers } from '../cluster/node.ts'
import { nextEpoch, setDraining } from '../cluster/nodes.ts'
import { claimAlone, claimOne, claimWantedAlone, handOver, ownerOf, type Owning } from '../cluster/owners.ts'
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
import { within } from '../within.ts'
import { createCaches } from './caches.ts'
import { Elsewhere } from './elsewhere.ts'
import { forgetOutdatedClients, listExisting } from './facts.ts'
import { NotOurs } from './fence.ts'
import { Handovers } from './handovers.ts'
import { LINK_TIMINGS, type LinkTimings } from './link.ts'
import type { LinkServices } from './open-link.ts'
import { OpeningGate } from './opening-gate.ts'
import { NotOwner, type RemoteSessions, type SessionOrder } from './remote.ts'
import { Session, type SessionServices } from './session.ts'
import { CALM_MS, Tending } from './tending.ts'

const TAKE_AGAIN_MS = 1_000
/** Sessions of instances that were deleted by another process, or by hand, are looked for so often. */
const LOOK_FOR_DELETED_MS = 10_000
/** A stop has ten seconds for everything. */
const LEAVE_MS = 5_000

export type RegistryServices = Omit<LinkServices, 'caches' | 'timings' | 'mayRead'> &
  Readonly<{
    maxOpening: number
    /** The database for what must not wait; null: nobody else can use it. */
    urgent: Kysely<DB> | null
    /** Where other nodes reach this one; null: this one works alone, and waits while another node is there. */
    address?: string | null
    /** The way to the sessions of other nodes; null: this one knows of none. */
    remote?: RemoteSessions | null
    /** What this node's key is known by to the others. */
    keyCheck?: string | null
    /** Under which the others know this process; null: any. */
    nodeId?: string | null
    timings?: LinkTimings | undefined
    /** How long no node must have come or gone before sessions are moved to even out how many each has, in ms. */
    calmMs?: number | undefined
  }>

const sessionsElsewhere = () =>
  new GatewayError(
    'SERVICE_UNAVAILABLE',
    'The sessions of this database are run by another process of the gateway. Ask that one: a command goes through it when it is given with its DATA_DIR',
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
  /** By instance: the end of the link of a session that was released, which the next one waits for. */
  readonly #ending = new Map<string, Promise<void>>()
  readonly #startedAt = new Date()
  readonly #lease: NodeLease | null
  readonly #remote: RemoteSessions | null
  readonly #elsewhere: Elsewhere | null
  readonly #handovers: Handovers | null
  /** null: before the start, and where there can be no other nodes. */
  #tending: Tending | null = null
  /** Of this process, above that of every session before it. */
  #epoch = 0
  /** Whether a database that nobody else has is ready. */
  #isReady = false
  #isInDoubt = false
  #isLeaving = false
  #isClosed = false
  #refusedWrites = 0
  #sweep: NodeJS.Timeout | undefined

  constructor(services: RegistryServices) {
    const { urgent, logger, address = null, nodeId = null, keyCheck = null, remote = null } = services
    this.#lease =
      urgent &&
      new NodeLease(
        urgent,
        logger,
        { id: nodeId ?? randomUUID(), address, keyCheck, name: hostname() },
        () => this.running.length,
        {
          onHeld: (now) => this.#hold(now),
          onDoubt: () => this.#doubt(),
          onLost: () => this.#lose(),
          onDrain: () => {
            if (!this.#isLeaving) logger.info('this node gives its sessions away, because it was asked to')
          },
        },
      )
    this.#remote = remote
    this.#elsewhere = remote && new Elsewhere({ ...services, remote, self: () => this.node })
    this.#handovers =
      remote &&
      this.#lease &&
      new Handovers({
        ...services,
        remote,
        lease: this.#lease,
        running: () => this.running,
        onGiven: (session) => this.#release(session),
        onKept: (owning) => {
          if (!this.#isLeaving) this.#open([owning])
        },
      })
    this.#services = {
      ...services,
      timings: services.timings ?? LINK_TIMINGS,
      caches: createCaches(),
      gate: new OpeningGate(services.maxOpening),
      mayRead: () => this.#lease?.confirm() ?? true,
      onChange: (instance) => this.#tell({ kind: 'changed', instance }),
      onGone: (instance) => this.#noteDeleted(instance),
      onPairingStep: (instanceId, step) => {
        this.pairingSteps.publish(instanceId, step)
        const instance = this.#sessions.get(instanceId)?.instance
        if (instance) this.#remote?.tellStep(instance, step)
      },
      onDoubt: () => this.#doubt(),
      onNotOurs: (session, sign) => {
        if (sign === 'refused write') this.#refusedWrites++
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
      handedOver: this.#handovers?.count ?? 0,
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
    const prepared = this.#remote?.prepare(accountId)
    const confirmed = this.#confirm()
    return confirmed instanceof Promise ? confirmed.then(() => prepared) : prepared
  }

  /**
   * Runs sessions from now on, or as soon as the process that does is gone; false when it has to wait for that.
   * @param restores whether every session that is wanted is opened, or only those that are asked for
   */
  async start({ restores }: { restores: boolean }): Promise<boolean> {
    this.#sweep = setInterval(() => void this.#forgetDeleted(), LOOK_FOR_DELETED_MS).unref()
    if (this.#lease) {
      const { calmMs = CALM_MS } = this.#services
      this.#tending = new Tending({
        ...this.#services,
        calmMs,
        restores,
        lease: this.#lease,
        handovers: this.#handovers,
        onRegistered: ({ epoch }) => {
          this.#epoch = epoch
        },
        onOwned: (owned) => this.#open(owned),
      })
      await this.#lease.open()
      await this.#tending.idle()
    } else await this.#startAlone(restores)
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
    await this.#confirm()
    const session = await this.#sessionOf(instance)
    if (!(session instanceof Session)) throw new NotOwner()
    await this.#carryOut(session, order)
    return session.instance
  }

  /** Looks at once for sessions that this node was given. */
  async take(): Promise<void> {
    this.#tending?.lookAgain()
    await this.#tending?.idle()
  }

  /** After the commit: a running session behaves by the new settings. */
  async applySettings(instance: Instance): Promise<void> {
    try {
      const session = this.#sessions.get(instance.id)
      if (session && !session.isOver) await session.applySettings()
      else await this.#elsewhere?.order([instance], { kind: 'applySettings' })
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
    const paused = (await this.#elsewhere?.order(elsewhere, { kind: 'pause' })) ?? []
    await Promise.all(running.map((session) => session.pause()))
    try {
      const erased = await erase()
      for (const instance of erased) this.#noteDeleted(instance)
      void this.#elsewhere?.orderOwners(paused, { kind: 'forget' })
      return erased
    } catch (error) {
      for (const session of running) session.resume()
      void this.#elsewhere?.orderOwners(paused, { kind: 'resume' })
      throw error
    }
  }

  /** Takes no sessions any more, and hands those of this node over to others that can be told. The node stays registered. */
  async leave(): Promise<void> {
    const { urgent } = this.#services
    const { node } = this
    if (!urgent || !node || !this.#handovers) return
    this.#isLeaving = true
    // What has not been given by then is found by the others when this node is gone.
    await within(LEAVE_MS, this.#giveEverything(urgent, node, this.#handovers))
  }

  async #giveEverything(urgent: Kysely<DB>, node: NodeRef, handovers: Handovers): Promise<void> {
    // So that nobody names this node as a successor any more; one that does all the same is found out below.
    await Promise.all([this.#tending?.stop(), setDraining(urgent, node).catch(() => undefined)])
    // One that has just been started is to be known as well.
    await this.#lease?.renewNow()
    await handovers.giveAll({ isInHurry: true })
    await handovers.told()
  }

  /** Ends all links and writes what is left to be written; the instances stay as they are wanted. */
  async close(): Promise<void> {
    this.#isClosed = true
    clearInterval(this.#sweep)
    void this.#tending?.stop()
    await Promise.all(this.live.map((session) => session.close()))
    await this.#lease?.close()
  }

  get #takesPart(): boolean {
    if (this.#isClosed) return false
    return this.#lease ? this.#lease.isValid() && this.#lease.takesPart : this.#isReady
  }

  // Beginning, holding, losing.

  async #startAlone(restores: boolean): Promise<void> {
    const { db, logger } = this.#services
    try {
      // Each time anew, so that what is told from now on comes after all that any process has told.
      this.#epoch = await nextEpoch(db)
      this.#isReady = true
      if (!restores) return
      await forgetOutdatedClients(db)
      this.#open(await claimWantedAlone(db, this.#epoch))
    } catch (error) {
      if (this.#isClosed) return
      logger.warn({ err: error }, 'the sessions could not be restored yet')
      setTimeout(() => void this.#startAlone(restores), TAKE_AGAIN_MS).unref()
    }
  }

  #hold(now: Date): void {
    if (this.#isInDoubt) {
      this.#isInDoubt = false
      for (const session of this.live) session.goOn()
    }
    this.#tending?.look(now)
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
    const { instance, linkOver } = session
    if (!this.#remote || this.#sessions.get(instance.id) !== session) return
    this.#sessions.delete(instance.id)
    this.#ending.set(instance.id, linkOver)
    void linkOver.finally(() => {
      if (this.#ending.get(instance.id) === linkOver) this.#ending.delete(instance.id)
    })
    if (this.node) this.#remote.noteReleased(this.node, instance, session.status())
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
    return (session !== undefined && session.epoch >= epoch) || this.#hasGiven(instanceId, epoch)
  }

  #hasGiven(instanceId: string, epoch: number): boolean {
    return this.#handovers?.hasGiven(instanceId, epoch) ?? false
  }

  #adopt(instance: Instance, epoch: number): Session {
    const known = this.#sessions.get(instance.id)
    if (known && known.epoch >= epoch && !known.isOver) return known
    known?.letGo()
    const before = known?.linkOver ?? this.#ending.get(instance.id) ?? Promise.resolve()
    const session = new Session(this.#services, instance, epoch, before)
    this.#sessions.set(instance.id, session)
    this.#handovers?.noteArrival(session)
    // Its epoch is news, also where nothing else changes.
    this.#remote?.tell({ kind: 'changed', instance })
    return session
  }

  /** The session of an instance, which is claimed when nobody owns it; or who else does. */
  async #sessionOf(instance: Instance): Promise<Session | NodeRef> {
    const known = this.#sessions.get(instance.id)
    const { db } = this.#services
    if (!this.#lease) {
      if (known && !known.isOver) return known
      const epoch = await claimAlone(db, this.#epoch, instance.id)
      if (epoch === undefined) throw instanceNotFound()
      return this.#adopt(instance, epoch)
    }
    const { node } = this.#lease
    if (!node || !this.#lease.isValid()) throw serviceUnavailable()
    const isGivingAway = this.#isLeaving || this.#lease.isDraining
    if (known && !known.isOver && (known.isRunning || !isGivingAway)) return known
    const heir = isGivingAway ? chooseSuccessor(node, this.#lease.list(), new Map()) : node
    if (!heir) throw draining()
    if (known && !known.isOver) {
      if (await this.#handovers?.giveAtRest(known, heir)) return heir
      throw serviceUnavailable()
    }
    const claimed = await claimOne(db, heir, instance.id)
    if (claimed !== undefined) return this.#ownerIs(heir, instance, claimed)
    const ownership = await ownerOf(db, instance.id)
    if (!ownership) throw instanceNotFound()
    if (!ownership.node) throw serviceUnavailable()
    const { epoch } = ownership
    if (!known || known.epoch < epoch) return this.#ownerIs(ownership.node, instance, epoch)
    // It was closed here to be given away, and has not been: under a new epoch it is opened again.
    const again = await handOver(db, { instanceId: instance.id, epoch }, heir)
    if (again === undefined) throw serviceUnavailable()
    return this.#ownerIs(heir, instance, again)
  }

  #ownerIs(owner: NodeRef, instance: Instance, epoch: number): Session | NodeRef {
    const node = this.#lease?.node
    if (owner.id !== node?.id || owner.epoch !== node.epoch) return owner
    // It may have been given away while the answer was on its way.
    if (this.#hasGiven(instance.id, epoch)) throw serviceUnavailable()
    return this.#adopt(instance, epoch)
  }

  /** A lease that has ended by the clock on the wall alone may hold. */
  #confirm(): boolean | Promise<boolean> | undefined {
    return this.#lease?.confirm()
  }

  // Commands.

  /** Asks the owner of an instance for something; returns the instance as it is then. */
  async #command(instance: Instance, order: SessionOrder): Promise<Instance> {
    await this.#confirm()
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
    this.#handovers?.forget(instance.id)
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
        else if (session.isPausedForLong) session.resume()
      }
    } catch (error) {
      this.#services.logger.debug({ err: error }, 'deleted instances could not be looked for')
    }
  }
}

/** Of one that ends with the process nothing is told: its node is gone then. */
const asTold = (session: Session): SessionHere | null =>
  session.isOver && session.isRunning
    ? null
    : { instance: session.instance, status: session.status(), step: session.pairingStep }
