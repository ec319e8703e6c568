import { reasonOf } from '../connection/reasons.ts'
import { statusAtRest, statusOfDeleted } from '../connection/rest.ts'
import type { ConnectionState, ConnectionStatus } from '../connection/state.ts'
import type { ConnectionTick } from '../connection/tick.ts'
import { GatewayError } from '../errors.ts'
import { Topics } from '../events.ts'
import type { Instance } from '../instance/queries.ts'
import type { PairingStep } from '../pairing/step.ts'
import { createCaches } from './caches.ts'
import { Claim } from './claim.ts'
import { forgetOutdatedClients, listExisting, listToRestore, nextEpoch } from './facts.ts'
import { LINK_TIMINGS, type LinkTimings } from './link.ts'
import type { LinkServices } from './open-link.ts'
import { OpeningGate } from './opening-gate.ts'
import { sequenceOf, Session, type SessionServices } from './session.ts'

const TAKE_AGAIN_MS = 1_000
/** Sessions of instances that were deleted by another process, or by hand, are looked for so often. */
const LOOK_FOR_DELETED_MS = 10_000

export type RegistryServices = Omit<LinkServices, 'caches' | 'timings'> &
  Readonly<{
    maxOpening: number
    /** null: the embedded database, which no other process can use. */
    databaseUrl: string | null
    timings?: LinkTimings | undefined
  }>

export const sessionsElsewhere = () =>
  new GatewayError(
    'SERVICE_UNAVAILABLE',
    'The sessions of this database are run by another process of the gateway. Ask that one, or stop it',
    { retryAfter: 5 },
  )

/** The live sessions of this process: the only source of the present connection state. */
export class SessionRegistry {
  /** Changes, by account id. */
  readonly connectionTicks = new Topics<ConnectionTick>()
  /** Steps of pairing attempts, by instance id. */
  readonly pairingSteps = new Topics<PairingStep>()
  #services: SessionServices
  readonly #sessions = new Map<string, Session>()
  readonly #startedAt = new Date()
  readonly #claim: Claim | null
  /** Whether this process is the one that runs the sessions. */
  #isOurs = false
  #taking: Promise<void> = Promise.resolve()
  /** Times that the sessions were taken or lost. */
  #turns = 0
  #isClosed = false
  #restores = false
  #sweep: NodeJS.Timeout | undefined

  constructor(services: RegistryServices) {
    const { databaseUrl, logger } = services
    this.#claim =
      databaseUrl === null
        ? null
        : new Claim(databaseUrl, logger, {
            onGained: () => void (this.#taking = this.#take()),
            onLost: () => this.#lose(),
          })
    this.#services = {
      ...services,
      timings: services.timings ?? LINK_TIMINGS,
      caches: createCaches(),
      gate: new OpeningGate(services.maxOpening),
      epoch: 0,
      onChange: (instance) => this.connectionTicks.publish(instance.accountId, { kind: 'changed', instance }),
      onGone: (instance) => this.#noteDeleted(instance),
      onPairingStep: (instanceId, step) => this.pairingSteps.publish(instanceId, step),
    }
  }

  /** The present connection of an instance, at once: it awaits nothing and reads no row. */
  statusOf(instance: Instance): ConnectionStatus {
    const session = this.#sessions.get(instance.id)
    if (session) return session.status()
    const status = statusAtRest(instance, this.#startedAt, sequenceOf(this.#services.epoch, 0))
    return status.reason?.code === 'UNKNOWN' && !this.#isOurs ? { ...status, reason: reasonOf('HANDOVER') } : status
  }

  /** How many sessions this process has, by the state that they show. */
  countByState(): Record<ConnectionState, number> {
    const counts: Record<ConnectionState, number> = { connected: 0, connecting: 0, disconnected: 0, loggedout: 0 }
    for (const session of this.#sessions.values()) counts[session.status().state] += 1
    return counts
  }

  /** The present step of an instance's running pairing attempt; null when none runs. */
  pairingStepOf(instanceId: string): PairingStep | null {
    return this.#sessions.get(instanceId)?.pairingStep ?? null
  }

  /**
   * Runs the sessions from now on, or as soon as the process that does is gone; false when it has to wait for that.
   * @param restores whether every session that is wanted is opened, or only those that are asked for
   */
  async start({ restores }: { restores: boolean }): Promise<boolean> {
    this.#restores = restores
    if (!this.#claim) {
      await this.#take()
      return true
    }
    await this.#claim.open()
    await this.#taking
    return this.#isOurs
  }

  connect(instance: Instance, phoneNumber: string | null): Promise<Instance> {
    return this.#command(instance, (session) => session.connect(phoneNumber))
  }

  /** @throws GatewayError CONFLICT when it was never paired */
  reconnect(instance: Instance): Promise<Instance> {
    return this.#command(instance, (session) => session.reconnect())
  }

  disconnect(instance: Instance): Promise<Instance> {
    return this.#command(instance, (session) => session.disconnect())
  }

  /** @throws GatewayError SERVICE_UNAVAILABLE when WhatsApp could not be told */
  logOut(instance: Instance): Promise<Instance> {
    return this.#command(instance, (session) => session.logOut())
  }

  /** After the commit: a running session behaves by the new settings. */
  async applySettings(instanceId: string): Promise<void> {
    try {
      await this.#sessions.get(instanceId)?.applySettings()
    } catch (error) {
      this.#services.logger.warn({ instanceId, err: error }, 'new settings act from the next opening on')
    }
  }

  /** Tells streams of an instance that was created. Called after the commit. */
  noteCreated(instance: Instance): void {
    this.connectionTicks.publish(instance.accountId, { kind: 'added', instance })
  }

  /**
   * Runs a deletion while the sessions of what is to be deleted are closed, and tells streams of the instances that it
   * returns. The sessions come back when it fails.
   */
  async deleteInstances(
    instances: readonly Instance[],
    erase: () => Promise<readonly Instance[]>,
  ): Promise<readonly Instance[]> {
    const running = instances.flatMap(({ id }) => this.#sessions.get(id) ?? [])
    await Promise.all(running.map((session) => session.pause()))
    try {
      const erased = await erase()
      for (const instance of erased) this.#noteDeleted(instance)
      return erased
    } catch (error) {
      for (const session of running) session.resume()
      throw error
    }
  }

  /** Tells streams of an instance that is gone, with its last state. */
  #noteDeleted(instance: Instance): void {
    const session = this.#sessions.get(instance.id)
    this.#sessions.delete(instance.id)
    const last = session?.markDeleted() ?? statusOfDeleted(instance, new Date(), sequenceOf(this.#services.epoch, 1))
    this.connectionTicks.publish(instance.accountId, { kind: 'removed', instance, last })
  }

  /** Ends all links and writes what is left to be written; the instances stay as they are wanted. */
  async close(): Promise<void> {
    this.#isClosed = true
    this.#isOurs = false
    clearInterval(this.#sweep)
    await Promise.all([...this.#sessions.values()].map((session) => session.close()))
    await this.#claim?.close()
  }

  async #take(): Promise<void> {
    const { db, logger } = this.#services
    const turn = ++this.#turns
    try {
      // Each time anew, so that what is told from now on comes after all that any process has told.
      const epoch = await nextEpoch(db)
      // Meanwhile it may have been lost again, and taken once more.
      if (this.#isClosed || turn !== this.#turns) return
      this.#services = { ...this.#services, epoch }
    } catch (error) {
      logger.warn({ err: error }, 'the sessions could not be taken over yet')
      setTimeout(() => turn === this.#turns && void this.#take(), TAKE_AGAIN_MS).unref()
      return
    }
    this.#sessions.clear()
    this.#isOurs = true
    this.#sweep = setInterval(() => void this.#forgetDeleted(), LOOK_FOR_DELETED_MS).unref()
    if (this.#restores) await this.#restore()
  }

  /** Starts a session for every instance that is to have one; they open one after the other. */
  async #restore(): Promise<void> {
    const { db, logger } = this.#services
    try {
      await forgetOutdatedClients(db)
      const instances = await listToRestore(db)
      if (!this.#isOurs) return
      for (const instance of instances) if (!this.#sessions.has(instance.id)) this.#sessionOf(instance).restore()
      logger.info({ sessions: instances.length }, 'sessions are being restored')
    } catch (error) {
      logger.warn({ err: error }, 'sessions could not be restored yet')
      setTimeout(() => this.#isOurs && void this.#restore(), TAKE_AGAIN_MS).unref()
    }
  }

  /** Another process has them now. What they were last stays known, so that nothing older is told of them. */
  #lose(): void {
    this.#services.logger.error('another process has taken over the sessions')
    this.#turns++
    this.#isOurs = false
    clearInterval(this.#sweep)
    for (const session of this.#sessions.values()) session.handOver()
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

  /** Asks a session for something; returns the instance as it is then. */
  async #command(instance: Instance, ask: (session: Session) => Promise<void>): Promise<Instance> {
    if (!this.#isOurs) throw sessionsElsewhere()
    const session = this.#sessionOf(instance)
    await ask(session)
    return session.instance
  }

  #sessionOf(instance: Instance): Session {
    const session = this.#sessions.get(instance.id) ?? new Session(this.#services, instance)
    this.#sessions.set(instance.id, session)
    return session
  }
}
