import { reasonOf } from './reasons.ts'
import type { ConnectionFacts, ConnectionReason, ConnectionStatus } from './state.ts'

/**
 * The connection of an instance that has no live session: never connected, whatever was asked for.
 * @param restingSince since when this process can say so
 */
export function statusAtRest(facts: ConnectionFacts, restingSince: Date, sequence: number): ConnectionStatus {
  const { since, reason } = restOf(facts, restingSince)
  const isLoggedOut = facts.loggedOutAt !== null
  return {
    state: isLoggedOut ? 'loggedout' : 'disconnected',
    desiredState: facts.desiredState,
    numberJid: facts.numberJid,
    presenceStatus: 'unavailable',
    displayStatus: isLoggedOut ? 'Logged out' : 'Disconnected',
    since,
    observedAt: null,
    reason,
    sequence,
  }
}

/** The last that is said of an instance. */
export const statusOfDeleted = (facts: ConnectionFacts, since: Date, sequence: number): ConnectionStatus => ({
  ...statusAtRest(facts, since, sequence),
  state: 'disconnected',
  displayStatus: 'Disconnected',
  since,
  reason: reasonOf('INSTANCE_DELETED'),
})

function restOf(facts: ConnectionFacts, restingSince: Date): { since: Date; reason: ConnectionReason } {
  const { desiredState, createdAt, pairedAt, loggedOutAt, stopReason, stopWhatsappCode, stoppedAt } = facts
  if (loggedOutAt) return { since: loggedOutAt, reason: reasonOf('LOGGED_OUT') }
  if (!pairedAt) return { since: createdAt, reason: reasonOf('NOT_PAIRED') }
  if (stopReason && stoppedAt) {
    return { since: stoppedAt, reason: reasonOf(stopReason, { whatsappCode: stopWhatsappCode }) }
  }
  return {
    since: pairedAt > restingSince ? pairedAt : restingSince,
    reason: reasonOf(desiredState === 'disconnected' ? 'STOPPED' : 'UNKNOWN'),
  }
}
