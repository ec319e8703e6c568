import { type ConnectionFacts, type ConnectionStatus, statusWithoutSession } from '../connection/state.ts'
import type { ConnectionTick } from '../connection/tick.ts'
import { Topics } from '../events.ts'
import type { Instance } from '../instance/queries.ts'
import type { PairingStep } from '../pairing/step.ts'

/** The live sessions of this process: the only source of the present connection state. */
export type SessionRegistry = {
  /** The present connection of an instance, at once: it awaits nothing and reads no row. */
  statusOf(instance: ConnectionFacts): ConnectionStatus
  /** Changes, by account id. */
  connectionTicks: Topics<ConnectionTick>
  /** The present step of an instance's running pairing attempt; null when none runs. */
  pairingStepOf(instanceId: string): PairingStep | null
  /** Steps of pairing attempts, by instance id. */
  pairingSteps: Topics<PairingStep>
  /** Tells streams of an instance that was created. Called after the commit. */
  noteCreated(instance: Instance): void
  /** Tells streams of an instance that was deleted, with its last state. Called after the commit. */
  noteDeleted(instance: Instance): void
}

/** A registry of a process that runs no sessions: everything rests, and is said to. */
export function createSessionRegistry(): SessionRegistry {
  const startedAt = new Date()
  const statusOf = (instance: ConnectionFacts) => statusWithoutSession(instance, startedAt)
  const connectionTicks = new Topics<ConnectionTick>()
  return {
    statusOf,
    connectionTicks,
    pairingStepOf: () => null,
    pairingSteps: new Topics<PairingStep>(),
    noteCreated: (instance) => connectionTicks.publish(instance.accountId, { kind: 'added', instance }),
    noteDeleted: (instance) =>
      connectionTicks.publish(instance.accountId, { kind: 'removed', instance, last: statusOf(instance) }),
  }
}
