import { reasonOf } from '../connection/reasons.ts'
import { statusAtRest, statusOfDeleted } from '../connection/rest.ts'
import type { ConnectionFacts, ConnectionReason, ConnectionStatus, ReasonCode } from '../connection/state.ts'

/** Why something failed, with WhatsApp's own number if there was one. */
export type Failure = { reason: ReasonCode; whatsappCode: number | null }

/** Where a session is. */
export type Phase =
  /** The link is being opened, or waits for its turn to be. */
  | { kind: 'opening' }
  /** A code is on offer. */
  | { kind: 'awaiting pairing' }
  /** The planned restart after pairing. */
  | { kind: 'restarting' }
  | { kind: 'open' }
  /** Between two tries. */
  | ({ kind: 'retrying'; retryAt: Date } & Failure)
  /** Nothing is being tried; `failure` is what the last attempt ended with, where the facts do not tell. */
  | { kind: 'resting'; failure: Failure | null }
  | { kind: 'deleted' }

/** What a session knows beside its phase. */
export type Live = {
  /** When the phase began. */
  since: Date
  /** When the last frame came on this link. */
  observedAt: Date | null
  isOnline: boolean
  sequence: number
}

/** The connection that a phase is shown as. */
export function describePhase(phase: Phase, facts: ConnectionFacts, live: Live): ConnectionStatus {
  const { since, observedAt, sequence } = live
  const common = { desiredState: facts.desiredState, numberJid: facts.numberJid, since, observedAt, sequence }
  const connecting = (displayStatus: string, reason: ConnectionReason): ConnectionStatus => ({
    ...common,
    state: 'connecting',
    presenceStatus: 'unavailable',
    displayStatus,
    reason,
  })
  switch (phase.kind) {
    case 'opening':
      return connecting('Connecting', reasonOf('OPENING'))
    case 'awaiting pairing':
      return connecting('Waiting for QR scan', reasonOf('AWAITING_PAIRING'))
    case 'restarting':
      return connecting('Restarting after pairing', reasonOf('RESTARTING'))
    case 'retrying':
      return connecting('Reconnecting', reasonOf(phase.reason, phase))
    case 'open':
      return {
        ...common,
        state: 'connected',
        presenceStatus: live.isOnline ? 'available' : 'unavailable',
        displayStatus: 'Connected',
        reason: null,
      }
    case 'resting': {
      const rest = statusAtRest(facts, since, sequence)
      return phase.failure ? { ...rest, since, reason: reasonOf(phase.failure.reason, phase.failure) } : rest
    }
    case 'deleted':
      return statusOfDeleted(facts, since, sequence)
  }
}
