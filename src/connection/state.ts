/** The documented states, in REST's words. */
export const CONNECTION_STATES = ['connected', 'connecting', 'disconnected', 'loggedout'] as const
export type ConnectionState = (typeof CONNECTION_STATES)[number]

export type DesiredConnectionState = 'connected' | 'disconnected'

export const PRESENCE_STATUSES = ['available', 'unavailable', 'composing', 'recording', 'paused'] as const
export type PresenceStatus = (typeof PRESENCE_STATUSES)[number]

export type ReasonCode =
  | 'NOT_PAIRED'
  | 'AWAITING_PAIRING'
  | 'PAIRING_EXPIRED'
  | 'PAIRING_FAILED'
  | 'OPENING'
  | 'RESTARTING'
  | 'STOPPED'
  | 'LOGGED_OUT'
  | 'REPLACED'
  | 'BANNED'
  | 'CLIENT_OUTDATED'
  | 'MULTIDEVICE_MISMATCH'
  | 'BAD_SESSION'
  | 'WHATSAPP_UNAVAILABLE'
  | 'CONNECTION_LOST'
  | 'SILENT'
  | 'PROXY_FAILED'
  | 'SERVER_REFUSED'
  | 'HANDOVER'
  | 'INSTANCE_DELETED'
  | 'UNKNOWN'

export type NextStep = 'WAIT' | 'PAIR' | 'CONNECT' | 'FIX_PROXY' | 'OPERATOR' | 'NONE'

/** Why an instance is not connected, for programs and for people. */
export type ConnectionReason = {
  code: ReasonCode
  message: string
  /** WhatsApp's own number, if there was one. */
  whatsappCode: number | null
  nextStep: NextStep
  /** When the next try is due, if one is. */
  retryAt: Date | null
}

/** The link between an instance and WhatsApp at one moment. */
export type ConnectionStatus = {
  state: ConnectionState
  desiredState: DesiredConnectionState
  numberJid: string | null
  presenceStatus: PresenceStatus
  displayStatus: string
  /** When this state began. */
  since: Date
  /** When the last frame from WhatsApp confirmed the link. */
  observedAt: Date | null
  /** null when connected. */
  reason: ConnectionReason | null
  /** Rises with every change of the instance. */
  sequence: number
}

/** The durable facts about an instance that its connection is described from; never whether it is connected. */
export type ConnectionFacts = {
  desiredState: DesiredConnectionState
  numberJid: string | null
  createdAt: Date
  pairedAt: Date | null
  loggedOutAt: Date | null
}

/**
 * The connection of an instance that has no session in this process: never connected, whatever was asked for.
 * @param restingSince since when this process can say so
 */
export function statusWithoutSession(facts: ConnectionFacts, restingSince: Date): ConnectionStatus {
  const { state, displayStatus, since, reason } = restOf(facts, restingSince)
  return {
    state,
    desiredState: facts.desiredState,
    numberJid: facts.numberJid,
    presenceStatus: 'unavailable',
    displayStatus,
    since,
    observedAt: null,
    reason: { ...reason, whatsappCode: null, retryAt: null },
    sequence: 0,
  }
}

type Rest = Pick<ConnectionStatus, 'state' | 'displayStatus' | 'since'> & {
  reason: Pick<ConnectionReason, 'code' | 'message' | 'nextStep'>
}

function restOf({ desiredState, createdAt, pairedAt, loggedOutAt }: ConnectionFacts, restingSince: Date): Rest {
  if (loggedOutAt) {
    return {
      state: 'loggedout',
      displayStatus: 'Logged out',
      since: loggedOutAt,
      reason: { code: 'LOGGED_OUT', message: 'The pairing was ended here or on the phone.', nextStep: 'PAIR' },
    }
  }
  if (!pairedAt) {
    return {
      state: 'disconnected',
      displayStatus: 'Disconnected',
      since: createdAt,
      reason: { code: 'NOT_PAIRED', message: 'This instance was never paired with a phone.', nextStep: 'PAIR' },
    }
  }
  return {
    state: 'disconnected',
    displayStatus: 'Disconnected',
    since: pairedAt > restingSince ? pairedAt : restingSince,
    reason:
      desiredState === 'disconnected'
        ? { code: 'STOPPED', message: 'The connection was stopped on request.', nextStep: 'CONNECT' }
        : { code: 'UNKNOWN', message: 'No session is running for this instance.', nextStep: 'CONNECT' },
  }
}
