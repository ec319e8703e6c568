import { statusAtRest, statusOfDeleted } from '../connection/rest.ts'
import type { ConnectionStatus } from '../connection/state.ts'
import type { ConnectionTick } from '../connection/tick.ts'
import { serviceUnavailable } from '../errors.ts'
import { Topics } from '../events.ts'
import type { Instance } from '../instance/queries.ts'
import type { Settings } from '../integration/queries.ts'
import type { PairingStep } from '../pairing/step.ts'
import { createCaches } from './caches.ts'
import { forgetOutdatedClients, listToRestore, nextEpoch } from './facts.ts'
import type { LinkServices } from './open-link.ts'
import { OpeningGate } from './opening-gate.ts'
import { Session, type SessionServices } from './session.ts'

/** Changes that one start of the process has room for, before those of the next. */
const SEQUENCES_PER_EPOCH = 2 ** 32

export type RegistryServices = Omit<LinkServices, 'caches'> & Readonly<{ maxOpening: number }>

/** The live sessions of this process: the only source of the present connection state. */
export class SessionRegistry {
  /** Changes, by account id. */
  readonly connectionTicks = new Topics<ConnectionTick>()
  /** Steps of pairing attempts, by instance id. */
  readonly pairingSteps = new Topics<PairingStep>()
  readonly #services: SessionServices
  readonly #sessions = new Map<string, Session>()
  readonly #startedAt = new Date()
  #isClosed = false

  private constructor(services: RegistryServices, epoch: number) {
    this.#services = {
      ...services,
      caches: createCaches(),
      gate: new OpeningGate(services.maxOpening),
      firstSequence: epoch * SEQUENCES_PER_EPOCH,
      onChange: (instance) => this.connectionTicks.publish(instance.accountId, { kind: 'changed', instance }),
      onGone: (instance) => this.#noteDeleted(instance),
      onPairingStep: (instanceId, step) => this.pairingSteps.publish(instanceId, step),
    }
  }

  /** A registry without sessions; `restore` brings those back that ran before. */
  static async create(services: RegistryServices): Promise<SessionRegistry> {
    return new SessionRegistry(services, await nextEpoch(services.db))
  }

  /** The present connection of an instance, at once: it awaits nothing and reads no row. */
  statusOf(instance: Instance): ConnectionStatus {
    return (
      this.#sessions.get(instance.id)?.status() ?? statusAtRest(instance, this.#startedAt, this.#services.firstSequence)
    )
  }

  /** The present step of an instance's running pairing attempt; null when none runs. */
  pairingStepOf(instanceId: string): PairingStep | null {
    return this.#sessions.get(instanceId)?.pairingStep ?? null
  }

  /** Starts a session for every instance that is to have one; they open one after the other. */
  async restore(): Promise<number> {
    await forgetOutdatedClients(this.#services.db)
    const instances = await listToRestore(this.#services.db)
    for (const instance of instances) this.#sessionOf(instance).restore()
    return instances.length
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
  applySettings(instanceId: string, settings: Settings): void {
    this.#sessions.get(instanceId)?.applySettings(settings)
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
    const last = session?.markDeleted() ?? statusOfDeleted(instance, new Date(), this.#services.firstSequence + 1)
    this.connectionTicks.publish(instance.accountId, { kind: 'removed', instance, last })
  }

  /** Ends all links and writes what is left to be written; the instances stay as they are wanted. */
  async close(): Promise<void> {
    this.#isClosed = true
    await Promise.all([...this.#sessions.values()].map((session) => session.close()))
  }

  /** Asks a session for something; returns the instance as it is then. */
  async #command(instance: Instance, ask: (session: Session) => Promise<void>): Promise<Instance> {
    if (this.#isClosed) throw serviceUnavailable()
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
