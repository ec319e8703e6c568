import { reasonOf } from './reasons.ts'
import type { ConnectionFacts, ConnectionReason, ConnectionStatus } from './state.ts'

/** What was last said of facts, which are replaced when something in them changes. */
const lastSaid = new WeakMap<ConnectionFacts, { restingSince: Date; status: ConnectionStatus }>()

/**
 * The connection of an instance that has no live session: never connected, whatever was asked for. The same object while
 * nothing has changed.
 * @param restingSince since when this process can say so
 */
export function statusAtRest(facts: ConnectionFacts, restingSince: Date, sequence: number): ConnectionStatus {
  const said = lastSaid.get(facts)
  if (said?.restingSince === restingSince && said.status.sequence === sequence) return said.status
  const status = describeRest(facts, restingSince, sequence)
  lastSaid.set(facts, { restingSince, status })
  return status
}

function describeRest(facts: ConnectionFacts, restingSince: Date, sequence: number): ConnectionStatus {
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
