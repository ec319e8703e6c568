import type { StopReason } from '../connection/state.ts'
import type { Failure } from './phase.ts'

/** How a link ended, as far as it can be told. */
export type Close =
  /** WhatsApp said why: a stream error, or a refusal of the login. */
  | { kind: 'told'; code: number }
  /** The codes on offer were used up. */
  | { kind: 'codes used up' }
  /** What the phone has signed does not fit. */
  | { kind: 'pairing refused' }
  /** The transport failed: refused, reset, timed out, closed without a word. */
  | { kind: 'transport'; code: number }
  /** The upgrade to a WebSocket was answered with this status. */
  | { kind: 'http'; status: number }
  | { kind: 'proxy' }
  /** Nothing was heard for too long. */
  | { kind: 'silent' }
  /** The login was not answered, or no code was offered. */
  | { kind: 'login unanswered' }
  /** A frame could not be decrypted, or something broke on this side. */
  | { kind: 'broken' }

/** What to do about it. */
export type Verdict =
  /** Open again at once with the same credentials: planned, and no failure. */
  | { kind: 'restart' }
  /** Open again after a pause; a long one where a short one is no use. */
  | ({ kind: 'retry'; pause: 'short' | 'long' } & Failure)
  /** Do not open again by itself; a reason that is a fact is remembered. */
  | ({ kind: 'stop'; remember: StopReason | null } & Failure)
  /** The pairing is over: credentials and keys are deleted. */
  | { kind: 'log out'; whatsappCode: number }
  /** Somebody else has linked as this device: the owner opens again, once; anybody else lets go. */
  | ({ kind: 'contest' } & Failure)

/** What has happened before. */
export type History = {
  /** Whether the credentials belong to a phone. */
  isPaired: boolean
  /** Restarts in a row without a stable link. */
  restarts: number
  /** "Bad session" in a row without a stable link. */
  badSessions: number
  /** Failed tries in a row without a stable link. */
  failures: number
  /** Times in a row that another link has taken this one's place, without a stable link between. */
  replacements: number
}

/** A restart is planned once; a server that asks for more is not trusted to be quick. */
const MAX_RESTARTS = 3
/** So many refusals of a session are no accident: it has to be paired again. */
const MAX_BAD_SESSIONS = 5
/** How often an attempt to pair is opened again before the user has to ask anew. */
const MAX_PAIRING_FAILURES = 5

const retry = (reason: Failure['reason'], whatsappCode: number | null, pause: 'short' | 'long' = 'short'): Verdict => ({
  kind: 'retry',
  reason,
  whatsappCode,
  pause,
})
const stop = (reason: Failure['reason'], whatsappCode: number | null): Verdict => ({
  kind: 'stop',
  reason,
  whatsappCode,
  remember: null,
})
const remember = (reason: StopReason, whatsappCode: number): Verdict => ({
  kind: 'stop',
  reason,
  whatsappCode,
  remember: reason,
})

/** What the end of a link means for its session. */
export function decide(close: Close, history: History): Verdict {
  const verdict = close.kind === 'told' ? decideTold(close.code, history) : decideUntold(close)
  return history.isPaired ? verdict : whilePairing(verdict, history)
}

/** WhatsApp's own codes, of a stream error or of a refused login. */
function decideTold(code: number, { isPaired, restarts, badSessions, replacements }: History): Verdict {
  switch (code) {
    case 515:
      return restarts < MAX_RESTARTS ? { kind: 'restart' } : retry('UNKNOWN', code)
    case 401:
      return isPaired ? { kind: 'log out', whatsappCode: code } : stop('PAIRING_FAILED', code)
    case 403:
      return remember('BANNED', code)
    case 405:
      return remember('CLIENT_OUTDATED', code)
    case 411:
      return remember('MULTIDEVICE_MISMATCH', code)
    case 440:
      return replacements === 0
        ? { kind: 'contest', reason: 'REPLACED', whatsappCode: code }
        : remember('REPLACED', code)
    case 400:
      return remember('SERVER_REFUSED', code)
    case 500:
      return badSessions + 1 < MAX_BAD_SESSIONS ? retry('BAD_SESSION', code) : remember('BAD_SESSION', code)
    case 503:
      return retry('WHATSAPP_UNAVAILABLE', code)
    case 408:
    case 428:
      return retry('CONNECTION_LOST', code)
    default:
      return retry('UNKNOWN', code, 'long')
  }
}

function decideUntold(close: Exclude<Close, { kind: 'told' }>): Verdict {
  switch (close.kind) {
    case 'codes used up':
      return stop('PAIRING_EXPIRED', 408)
    case 'pairing refused':
      return stop('PAIRING_FAILED', null)
    case 'transport':
      return retry('CONNECTION_LOST', close.code)
    case 'http':
      return retry('WHATSAPP_UNAVAILABLE', close.status)
    case 'proxy':
      return retry('PROXY_FAILED', null)
    case 'silent':
      return retry('SILENT', null)
    case 'login unanswered':
      return retry('WHATSAPP_UNAVAILABLE', null)
    case 'broken':
      return retry('UNKNOWN', null)
  }
}

/**
 * Somebody stands before a screen and waits for a code: a link that could not be made (408) ends the attempt, and other
 * failures are retried a few times only. What is said about an account does not hold for one that is not known yet.
 */
function whilePairing(verdict: Verdict, { failures }: History): Verdict {
  if (verdict.kind === 'stop') return { ...verdict, remember: null }
  if (verdict.kind === 'contest') return stop(verdict.reason, verdict.whatsappCode)
  if (verdict.kind !== 'retry') return verdict
  const isOver = verdict.whatsappCode === 408 || failures + 1 >= MAX_PAIRING_FAILURES
  return isOver ? stop(verdict.reason, verdict.whatsappCode) : verdict
}
