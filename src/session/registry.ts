import { type ConnectionFacts, type ConnectionStatus, statusWithoutSession } from '../connection/state.ts'

/** The live sessions of this process: the only source of the present connection state. */
export type SessionRegistry = {
  /** The present connection of an instance, at once: it awaits nothing and reads no row. */
  statusOf(instance: ConnectionFacts): ConnectionStatus
}

/** A registry of a process that runs no sessions: everything rests, and is said to. */
export function createSessionRegistry(): SessionRegistry {
  const startedAt = new Date()
  return { statusOf: (instance) => statusWithoutSession(instance, startedAt) }
}
