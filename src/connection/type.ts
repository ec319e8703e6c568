import { builder } from '../graphql/builder.ts'
import { enumValues } from '../graphql/enum-values.ts'
import { Instance } from '../instance/type.ts'
import type {
  ConnectionReason,
  ConnectionState,
  ConnectionStatus,
  DesiredConnectionState,
  NextStep,
  PresenceStatus,
  ReasonCode,
} from './state.ts'

const ConnectionStateEnum = builder.enumType('ConnectionState', {
  description: 'The documented states; no more will be added, what is finer stands in the reason.',
  values: enumValues<ConnectionState>(
    {
      connected: 'REST `connected`: logged in and answering.',
      connecting: 'REST `connecting`: opening, waiting for a scan, or between two tries.',
      disconnected: 'REST `disconnected`: no link and none being tried; also a new instance.',
      loggedout: 'REST `loggedout`: WhatsApp ended the pairing; pair again.',
    },
    (state) => (state === 'loggedout' ? 'LOGGED_OUT' : state.toUpperCase()),
  ),
})

const DesiredConnectionStateEnum = builder.enumType('DesiredConnectionState', {
  description: 'What the instance was asked to be.',
  values: enumValues<DesiredConnectionState>({ connected: 'Keep a link up.', disconnected: 'Keep no link.' }),
})

const PresenceStatusEnum = builder.enumType('PresenceStatus', {
  description: 'WhatsApp presence.',
  values: enumValues<PresenceStatus>({
    available: 'Online.',
    unavailable: 'Offline, or not connected.',
    composing: 'Typing.',
    recording: 'Recording audio.',
    paused: 'Stopped typing.',
  }),
})

const ConnectionReasonCodeEnum = builder.enumType('ConnectionReasonCode', {
  description: 'Why. Values may be added; fall back to nextStep.',
  values: enumValues<ReasonCode>({
    NOT_PAIRED: 'Never paired.',
    AWAITING_PAIRING: 'A code is on offer: see the pairing subscription.',
    PAIRING_EXPIRED: 'Nobody used the code in time.',
    PAIRING_FAILED: 'WhatsApp or the phone refused the pairing.',
    OPENING: 'The link is being opened.',
    RESTARTING: 'The planned restart after pairing (515).',
    STOPPED: 'Stopped on request.',
    LOGGED_OUT: 'Logged out here or on the phone (401).',
    REPLACED: 'The same device logged in elsewhere (440).',
    BANNED: 'WhatsApp blocked the number (403).',
    CLIENT_OUTDATED: 'WhatsApp refuses this client version (405).',
    MULTIDEVICE_MISMATCH: "The phone's multi-device state does not fit (411).",
    BAD_SESSION: 'WhatsApp refused the session (500).',
    WHATSAPP_UNAVAILABLE: 'WhatsApp is unavailable (503, or an HTTP error on opening).',
    CONNECTION_LOST: 'The link broke (408, 428).',
    SILENT: 'The link was silent for longer than the keep-alive allows.',
    PROXY_FAILED: "The instance's proxy could not be used; details are in the operator's log.",
    SERVER_REFUSED: "The server at the other end is not WhatsApp's (400).",
    HANDOVER: 'The session moves between nodes, or its node was lost.',
    INSTANCE_DELETED: 'The instance was deleted.',
    UNKNOWN: 'Anything else; whatsappCode may say more.',
  }),
})

const NextStepEnum = builder.enumType('NextStep', {
  description: 'Who has to act on a reason.',
  values: enumValues<NextStep>({
    WAIT: 'Nobody: it is being retried.',
    PAIR: 'The user: pair (again).',
    CONNECT: 'The user: connect or reconnect.',
    FIX_PROXY: 'The user: correct the proxy.',
    OPERATOR: 'The operator.',
    NONE: 'Nothing can be done here.',
  }),
})

export const ConnectionReasonType = builder.objectRef<ConnectionReason>('ConnectionReason').implement({
  description: 'Why an instance is not connected.',
  fields: (t) => ({
    code: t.expose('code', { type: ConnectionReasonCodeEnum, description: 'For programs.' }),
    message: t.exposeString('message', { description: 'One sentence for a person; no addresses, no internals.' }),
    whatsappCode: t.exposeInt('whatsappCode', {
      nullable: true,
      description: "WhatsApp's own number, e.g. 440, if there was one.",
    }),
    nextStep: t.expose('nextStep', { type: NextStepEnum, description: 'Who has to act.' }),
    retryAt: t.expose('retryAt', {
      type: 'DateTime',
      nullable: true,
      description: 'When the next try is due, if one is.',
    }),
  }),
})

export const ConnectionStatusType = builder.objectRef<ConnectionStatus>('ConnectionStatus').implement({
  description: 'The link between an instance and WhatsApp at one moment.',
  fields: (t) => ({
    state: t.expose('state', {
      type: ConnectionStateEnum,
      description: 'Where the link is; CONNECTED is never shown for a link known dead or silent too long.',
    }),
    desiredState: t.expose('desiredState', {
      type: DesiredConnectionStateEnum,
      description: 'What was asked for, as opposed to what is.',
    }),
    numberJid: t.exposeString('numberJid', {
      nullable: true,
      description: '`<digits>@s.whatsapp.net` without device; null if never connected.',
    }),
    presenceStatus: t.expose('presenceStatus', {
      type: PresenceStatusEnum,
      description: 'Own presence; UNAVAILABLE unless connected.',
    }),
    displayStatus: t.exposeString('displayStatus', { description: 'Words for a person; free text, not to be parsed.' }),
    since: t.expose('since', { type: 'DateTime', description: 'When this state began.' }),
    observedAt: t.expose('observedAt', {
      type: 'DateTime',
      nullable: true,
      description: 'When the last frame from WhatsApp confirmed the link; null if never on this link.',
    }),
    reason: t.expose('reason', {
      type: ConnectionReasonType,
      nullable: true,
      description: 'Why it is not connected; null when CONNECTED.',
    }),
    sequence: t.expose('sequence', {
      type: 'SafeInt',
      description: 'Rises with every change of this instance, across restarts and nodes; gaps mean merged changes.',
    }),
  }),
})

builder.objectField(Instance, 'connection', (t) =>
  t.field({
    type: ConnectionStatusType,
    description: 'The present connection, from the live registry.',
    resolve: (instance, _args, { services }) => services.sessions.statusOf(instance),
  }),
)
