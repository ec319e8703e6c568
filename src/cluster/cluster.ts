import { randomUUID } from 'node:crypto'
import type { ConnectionStatus } from '../connection/state.ts'
import type { ConnectionTick } from '../connection/tick.ts'
import type { Topics } from '../events.ts'
import type { Instance } from '../instance/queries.ts'
import type { Logger } from '../logger.ts'
import type { PairingStep } from '../pairing/step.ts'
import { NotOwner, type Owner, type RemoteSessions, type SessionOrder } from '../session/remote.ts'
import { Announcements, type SessionsHere } from './announcements.ts'
import { type Bus, openRedisBus } from './bus.ts'
import type { NodeRef, Ownership, Peers } from './node.ts'
import { listenForPeers, type PeerServer } from './peer-server.ts'
import { createPeerClient, type PeerAddress, type PeerClient } from './peers.ts'
import { RemoteStates, type RemoteStatesServices } from './remote-states.ts'
import { clusterSecretsOf } from './secrets.ts'

/** What the other nodes get to see of this node's sessions, and what they may ask of them. */
export type OwnSessions = SessionsHere & {
  /** This node's registration; null while it has none. */
  self(): NodeRef | null
  peers: Peers
  /** Has the session of an instance that this node owns do something; returns the instance as it is then. @throws NotOwner */
  perform(instance: Instance, order: SessionOrder): Promise<Instance>
  /** Sessions were given to this node. */
  take(instanceIds: readonly string[]): Promise<void>
  /** Another node could not confirm a session's status, and has told so. */
  tellAgain(instanceId: string): void
  /** Whether it runs the session of an instance itself. */
  runs(instanceId: string): boolean
  readOwners(accountIds: readonly string[]): Promise<Ownership[]>
  findMissed: RemoteStatesServices['findMissed']
  connectionTicks: Topics<ConnectionTick>
  pairingSteps: Topics<PairingStep>
  /** Streams have begun to be delayed, or are not any more. */
  onDelayChange(): void
}

export type ClusterConfig = {
  redisUrl: string
  nodeAddress: { host: string; port: number } | null
  encryptionKey: Buffer
  previousEncryptionKey: Buffer | null
  logger: Logger
}

type Parts = { states: RemoteStates; announcements: Announcements; own: OwnSessions }

/**
 * This node among the others: what it tells them, what they tell it, and what each may ask of the other. It is opened
 * before the sessions are, because they say in the database where it listens, and joined to them afterwards.
 */
export class Cluster implements RemoteSessions {
  /** Under which the others know this process. */
  readonly nodeId: string
  /** What the key of this node is known by to the others, and the one before it. */
  readonly keyChecks: readonly string[]
  readonly #logger: Logger
  readonly #bus: Bus
  readonly #client: PeerClient
  readonly #server: PeerServer
  readonly #joined: { parts: Parts | null }

  /** @throws with advice when this node cannot listen for the others; Redis may be away */
  static async open(config: ClusterConfig): Promise<Cluster> {
    const { nodeAddress, logger } = config
    const nodeId = randomUUID()
    const { busSealer, bearers, keyChecks } = clusterSecretsOf({
      current: config.encryptionKey,
      previous: config.previousEncryptionKey,
    })
    // It is asked from the moment it listens, and owns nothing until it has joined.
    const joined: { parts: Parts | null } = { parts: null }
    const parts = (): Parts => joined.parts ?? notRegistered()
    const bus = await openRedisBus(config.redisUrl, busSealer, logger)
    const server = await listenForPeers(
      {
        states: (request) => {
          const { announcements, states, own } = parts()
          if (request.from) states.noteAsker(request.from)
          for (const instanceId of request.doubted ?? []) own.tellAgain(instanceId)
          const self = own.self() ?? notRegistered()
          return { from: { ...self, isBusUp: bus.isUp }, accounts: announcements.statesOf(request) }
        },
        command: async ({ instance, order }) => {
          const { announcements, own } = parts()
          const after = await own.perform(instance, order)
          return { from: own.self() ?? notRegistered(), instance: after, told: announcements.toldOf(after.id) }
        },
        take: ({ instanceIds }) => parts().own.take(instanceIds),
      },
      { nodeId, address: nodeAddress, bearers, logger },
    ).catch(async (error) => {
      await bus.close()
      throw error
    })
    return new Cluster(nodeId, keyChecks, logger, bus, createPeerClient(bearers), server, joined)
  }

  private constructor(
    nodeId: string,
    keyChecks: readonly string[],
    logger: Logger,
    bus: Bus,
    client: PeerClient,
    server: PeerServer,
    joined: { parts: Parts | null },
  ) {
    this.#joined = joined
    this.nodeId = nodeId
    this.keyChecks = keyChecks
    this.#logger = logger
    this.#bus = bus
    this.#client = client
    this.#server = server
  }

  /** Where the other nodes reach this one, `host:port`. */
  get address(): string {
    return this.#server.address
  }

  get isBusUp(): boolean {
    return this.#bus.isUp
  }

  join(own: OwnSessions): void {
    const states = new RemoteStates({
      selfId: this.nodeId,
      self: () => own.self(),
      bus: this.#bus,
      peers: own.peers,
      readStates: (peer, request) => this.#client.readStates(peer, request),
      readOwners: (accountIds) => own.readOwners(accountIds),
      findMissed: (accountId) => own.findMissed(accountId),
      isHere: (instanceId) => own.runs(instanceId),
      connectionTicks: own.connectionTicks,
      pairingSteps: own.pairingSteps,
      onDelayChange: () => own.onDelayChange(),
      logger: this.#logger,
    })
    const announcements = new Announcements({ bus: this.#bus, self: () => own.self(), sessions: own })
    this.#joined.parts = { states, announcements, own }
  }

  // What this node tells.

  tell(tick: ConnectionTick): void {
    if (tick.kind === 'removed') this.#joined.parts?.states.forget(tick.instance)
    this.#joined.parts?.announcements.noteTick(tick)
  }

  tellStep(instance: Instance, step: PairingStep): void {
    this.#joined.parts?.announcements.noteStep(instance, step)
  }

  noteReleased(node: NodeRef, instance: Instance, status: ConnectionStatus): void {
    this.#joined.parts?.announcements.noteReleased(instance, status)
    this.#joined.parts?.states.noteReleased(node, instance, status)
  }

  // What the others tell, and are asked.

  prepare(accountId: string): Promise<void> | undefined {
    return this.#joined.parts?.states.prepare(accountId)
  }

  statusOf(instance: Instance): ConnectionStatus | null {
    return this.#joined.parts?.states.statusOf(instance) ?? null
  }

  stepOf(instanceId: string): PairingStep | null {
    return this.#joined.parts?.states.stepOf(instanceId) ?? null
  }

  isDelayed(): boolean {
    return this.#joined.parts?.states.isDelayed() ?? false
  }

  async command(owner: Owner, instance: Instance, order: SessionOrder): Promise<Instance> {
    const { from, instance: after, told } = await this.#client.command(this.#whereIs(owner), { instance, order })
    if (told) this.#joined.parts?.states.learn(from, told)
    return after
  }

  take(successor: Owner, instanceIds: readonly string[]): Promise<void> {
    return this.#client.take(this.#whereIs(successor), { instanceIds: [...instanceIds] })
  }

  #whereIs({ id, epoch, address = null }: Owner): PeerAddress {
    const known = this.#joined.parts?.own.peers.list().find((peer) => peer.id === id)
    return { id, epoch, address: address ?? known?.address ?? null }
  }

  /** To be called when the sessions have said their last. */
  async close(): Promise<void> {
    this.#joined.parts?.announcements.close()
    this.#joined.parts?.states.close()
    await Promise.all([this.#server.close(), this.#bus.close()])
  }
}

/** A node that has lost its registration owns nothing, and what it would tell is not true any more. */
function notRegistered(): never {
  throw new NotOwner()
}
