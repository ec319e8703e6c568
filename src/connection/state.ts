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

/** Reasons that end a session for good and are remembered across restarts; a logout has a fact of its own. */
export const STOP_REASONS = [
  'REPLACED',
  'BANNED',
  'CLIENT_OUTDATED',
  'MULTIDEVICE_MISMATCH',
  'BAD_SESSION',
  'SERVER_REFUSED',
] as const satisfies readonly ReasonCode[]
export type StopReason = (typeof STOP_REASONS)[number]

/** The durable facts about an instance that its connection is described from; never whether it is connected. */
export type ConnectionFacts = {
  desiredState: DesiredConnectionState
  numberJid: string | null
  createdAt: Date
  pairedAt: Date | null
  loggedOutAt: Date | null
  /** Why the last session ended for good; null when none has, or when it was asked for again since. */
  stopReason: StopReason | null
  stopWhatsappCode: number | null
  stoppedAt: Date | null
}
