import type { ConnectionReason, NextStep, ReasonCode } from './state.ts'

/** What each reason says to a person, and who has to act when nothing is being tried any more. */
const REASONS: Record<ReasonCode, { message: string; nextStep: NextStep }> = {
  NOT_PAIRED: { message: 'This instance was never paired with a phone.', nextStep: 'PAIR' },
  AWAITING_PAIRING: { message: 'A code is waiting to be used on the phone.', nextStep: 'PAIR' },
  PAIRING_EXPIRED: { message: 'Nobody used the code in time.', nextStep: 'PAIR' },
  PAIRING_FAILED: { message: 'WhatsApp or the phone refused the pairing.', nextStep: 'PAIR' },
  OPENING: { message: 'The connection is being opened.', nextStep: 'WAIT' },
  RESTARTING: { message: 'The connection restarts once after pairing.', nextStep: 'WAIT' },
  STOPPED: { message: 'The connection was stopped on request.', nextStep: 'CONNECT' },
  LOGGED_OUT: { message: 'The pairing was ended here or on the phone.', nextStep: 'PAIR' },
  REPLACED: { message: 'The same device logged in somewhere else.', nextStep: 'CONNECT' },
  BANNED: { message: 'WhatsApp has blocked the number.', nextStep: 'NONE' },
  CLIENT_OUTDATED: { message: 'WhatsApp does not accept this client version any more.', nextStep: 'OPERATOR' },
  MULTIDEVICE_MISMATCH: { message: 'The phone does not allow linked devices as it is set up.', nextStep: 'PAIR' },
  BAD_SESSION: { message: 'WhatsApp refused the session.', nextStep: 'PAIR' },
  WHATSAPP_UNAVAILABLE: { message: 'WhatsApp is not available.', nextStep: 'CONNECT' },
  CONNECTION_LOST: { message: 'The connection was lost or could not be made.', nextStep: 'CONNECT' },
  SILENT: { message: 'WhatsApp has not been heard from for too long.', nextStep: 'CONNECT' },
  PROXY_FAILED: { message: "The instance's proxy could not be used.", nextStep: 'FIX_PROXY' },
  SERVER_REFUSED: {
    message: 'The server at the other end does not identify itself as WhatsApp.',
    nextStep: 'OPERATOR',
  },
  HANDOVER: { message: 'The session is with another process of the gateway.', nextStep: 'WAIT' },
  INSTANCE_DELETED: { message: 'The instance was deleted.', nextStep: 'NONE' },
  UNKNOWN: { message: 'No session is running for this instance.', nextStep: 'CONNECT' },
}

/** The reason behind a code. With `retryAt` it is being tried again, and nobody has to act but for a proxy. */
export function reasonOf(
  code: ReasonCode,
  { whatsappCode = null, retryAt = null }: { whatsappCode?: number | null; retryAt?: Date | null } = {},
): ConnectionReason {
  const { message, nextStep } = REASONS[code]
  const waits = retryAt !== null && code !== 'PROXY_FAILED'
  return {
    code,
    message: waits && code === 'UNKNOWN' ? UNKNOWN_WHILE_RETRYING : message,
    whatsappCode,
    nextStep: waits ? 'WAIT' : nextStep,
    retryAt,
  }
}

const UNKNOWN_WHILE_RETRYING = 'The connection could not be opened.'
