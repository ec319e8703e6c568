import type { NodeRef } from '../cluster/node.ts'
import type { ConnectionStatus } from '../connection/state.ts'
import type { ConnectionTick } from '../connection/tick.ts'
import type { Instance } from '../instance/queries.ts'
import type { PairingStep } from '../pairing/step.ts'

/** What one node asks of the session of an instance that another one owns. */
export type SessionOrder =
  | { kind: 'connect'; phoneNumber: string | null }
  | { kind: 'reconnect' }
  | { kind: 'disconnect' }
  | { kind: 'logOut' }
  /** Closes the link for a deletion that may fail yet. */
  | { kind: 'pause' }
  /** The deletion has failed. */
  | { kind: 'resume' }
  /** The instance was deleted. */
  | { kind: 'forget' }
  | { kind: 'applySettings' }

/** The owner says that the instance is not its own any more (or not yet). */
export class NotOwner extends Error {
  constructor() {
    super('The session is owned by another node')
    this.name = 'NotOwner'
  }
}

/** A node, and where it is asked if that is known. */
export type Owner = NodeRef & { address?: string | null }

/** The sessions of other nodes, as far as this one can reach them. */
export interface RemoteSessions {
  /**
   * Has the owner do something; returns the instance as it is then.
   * @throws NotOwner when it owns it no longer, GatewayError for everything else
   */
  command(owner: Owner, instance: Instance, order: SessionOrder): Promise<Instance>
  /** The last that is known of a session elsewhere, or of its end; null when nothing is. */
  statusOf(instance: Instance): ConnectionStatus | null
  stepOf(instanceId: string): PairingStep | null
  /** Resolves when statuses of the account's instances are true; undefined when they are already. */
  prepare(accountId: string): Promise<void> | undefined
  /** Tells a successor which sessions it has been given. It would find them by itself a moment later. */
  take(successor: Owner, instanceIds: readonly string[]): Promise<void>
  /** Whether changes elsewhere are heard of late. */
  isDelayed(): boolean
  /** Tells the other nodes that something has changed here; states are asked of this node when they are told. */
  tell(tick: ConnectionTick): void
  tellStep(instance: Instance, step: PairingStep): void
  /** A session has left this node: its last status stays known, here and elsewhere, until its next owner tells of it. */
  noteReleased(owner: NodeRef, instance: Instance, last: ConnectionStatus): void
}
