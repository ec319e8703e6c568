/* eslint-disable */
/** Internal type. DO NOT USE DIRECTLY. */
type Exact<T extends { [key: string]: unknown }> = { [K in keyof T]: T[K] };
/** Internal type. DO NOT USE DIRECTLY. */
export type Incremental<T> = T | { [P in keyof T]?: P extends ' $fragmentName' | '__typename' ? T[P] : never };
import type { DocumentTypeDecoration } from '@graphql-typed-document-node/core';
/** A Chatwoot bridge to store. With enabled: false the rest is cleared. */
export type ChatwootConfig = {
  /** Chatwoot's account number. Needed when enabled. */
  accountId?: number | null | undefined;
  /** Chatwoot's API token. Left out: keep; null: clear; a new baseUrl without it clears it. */
  apiToken?: string | null | undefined;
  /** Chatwoot's address, a public one; a trailing slash is dropped. Needed when enabled. */
  baseUrl?: string | null | undefined;
  /** Switch. */
  enabled?: boolean;
  /** Leave groups out. */
  ignoreGroups?: boolean;
  /** Inbox to use or make. Needed when enabled. */
  inboxName?: string | null | undefined;
  /** Reopen resolved conversations. */
  reopenResolved?: boolean;
  /** Sign messages with the agent's name. */
  signMessages?: boolean;
  /** New conversations start as pending. */
  startAsPending?: boolean;
};

/** State of a Chatwoot bridge. */
export type ChatwootStatus =
  /** Working. */
  | 'ACTIVE'
  /** Failing: see lastError. */
  | 'ERROR'
  /** Held. */
  | 'PAUSED';

/** The kinds of connection event. */
export type ConnectionEventKind =
  /** The instance was created, or came into view. */
  | 'ADDED'
  /** The connection changed. */
  | 'CHANGED'
  /** The instance was deleted or left the token's view: its last event. */
  | 'REMOVED'
  /** Present state, sent on opening. */
  | 'SNAPSHOT';

/** Why. Values may be added; fall back to nextStep. */
export type ConnectionReasonCode =
  /** A code is on offer: see the pairing subscription. */
  | 'AWAITING_PAIRING'
  /** WhatsApp refused the session (500). */
  | 'BAD_SESSION'
  /** WhatsApp blocked the number (403). */
  | 'BANNED'
  /** WhatsApp refuses this client version (405). */
  | 'CLIENT_OUTDATED'
  /** The link broke (408, 428). */
  | 'CONNECTION_LOST'
  /** The session moves between nodes, or its node was lost. */
  | 'HANDOVER'
  /** The instance was deleted. */
  | 'INSTANCE_DELETED'
  /** Logged out here or on the phone (401). */
  | 'LOGGED_OUT'
  /** The phone's multi-device state does not fit (411). */
  | 'MULTIDEVICE_MISMATCH'
  /** Never paired. */
  | 'NOT_PAIRED'
  /** The link is being opened. */
  | 'OPENING'
  /** Nobody used the code in time. */
  | 'PAIRING_EXPIRED'
  /** WhatsApp or the phone refused the pairing. */
  | 'PAIRING_FAILED'
  /** The instance's proxy could not be used; details are in the operator's log. */
  | 'PROXY_FAILED'
  /** The same device logged in elsewhere (440). */
  | 'REPLACED'
  /** The planned restart after pairing (515). */
  | 'RESTARTING'
  /** The server at the other end is not WhatsApp's (400). */
  | 'SERVER_REFUSED'
  /** The link was silent for longer than the keep-alive allows. */
  | 'SILENT'
  /** Stopped on request. */
  | 'STOPPED'
  /** Anything else; whatsappCode may say more. */
  | 'UNKNOWN'
  /** WhatsApp is unavailable (503, or an HTTP error on opening). */
  | 'WHATSAPP_UNAVAILABLE';

/** The documented states; no more will be added, what is finer stands in the reason. */
export type ConnectionState =
  /** REST `connected`: logged in and answering. */
  | 'CONNECTED'
  /** REST `connecting`: opening, waiting for a scan, or between two tries. */
  | 'CONNECTING'
  /** REST `disconnected`: no link and none being tried; also a new instance. */
  | 'DISCONNECTED'
  /** REST `loggedout`: WhatsApp ended the pairing; pair again. */
  | 'LOGGED_OUT';

/** Input of createInstance. */
export type CreateInstanceInput = {
  /** Chatwoot bridge. */
  chatwoot?: ChatwootConfig | null | undefined;
  /** 1 to 100 characters; letters, digits, `_` and `-` are safest. No comma, slash, backslash, ?, #, %, control or invisible characters. */
  name: string;
  /** Proxy. */
  proxy?: ProxyConfig | null | undefined;
  /** Media storage. */
  s3?: S3Config | null | undefined;
  /** Settings; those left out take their defaults. */
  settings?: SettingsPatch | null | undefined;
  /** A token of your own, 32 to 256 printable ASCII characters without spaces or commas, for migrations. Leave out to have one made. */
  token?: string | null | undefined;
  /** Default webhook. */
  webhook?: WebhookConfig | null | undefined;
  /** Event WebSocket. */
  websocket?: WebsocketConfig | null | undefined;
};

/** Input of deleteInstance. */
export type DeleteInstanceInput = {
  /** Which. */
  instance: InstanceRef;
};

/** Input of deleteWebhook. */
export type DeleteWebhookInput = {
  /** Which instance. */
  instance: InstanceRef;
  /** Which webhook. */
  label: string;
};

/** What the instance was asked to be. */
export type DesiredConnectionState =
  /** Keep a link up. */
  | 'CONNECTED'
  /** Keep no link. */
  | 'DISCONNECTED';

/** The events an integration can carry. */
export type EventType =
  /** `call.update` */
  | 'CALL_UPDATE'
  /** `group.flow` */
  | 'GROUP_FLOW'
  /** `instance.state` */
  | 'INSTANCE_STATE'
  /** `label.update` */
  | 'LABEL_UPDATE'
  /** `message.exchange` */
  | 'MESSAGE_EXCHANGE'
  /** `message.status` */
  | 'MESSAGE_STATUS';

/** Which instance; one that is not visible is INSTANCE_NOT_FOUND, whoever owns it. */
export type InstanceRef =
  {   /** By id: safe against a name that was deleted and created again. */
  id: string | number; name?: never; }
  |  { id?: never;   /** By exact name. */
  name: string; };

/** Who has to act on a reason. */
export type NextStep =
  /** The user: connect or reconnect. */
  | 'CONNECT'
  /** The user: correct the proxy. */
  | 'FIX_PROXY'
  /** Nothing can be done here. */
  | 'NONE'
  /** The operator. */
  | 'OPERATOR'
  /** The user: pair (again). */
  | 'PAIR'
  /** Nobody: it is being retried. */
  | 'WAIT';

/** WhatsApp presence. */
export type PresenceStatus =
  /** Online. */
  | 'AVAILABLE'
  /** Typing. */
  | 'COMPOSING'
  /** Stopped typing. */
  | 'PAUSED'
  /** Recording audio. */
  | 'RECORDING'
  /** Offline, or not connected. */
  | 'UNAVAILABLE';

/** A proxy to store. With enabled: false the rest is cleared. */
export type ProxyConfig = {
  /** Switch. */
  enabled?: boolean;
  /** Host name or public address. Needed when enabled. */
  host?: string | null | undefined;
  /** Password. Left out: keep; null: clear; a new host, port or user name without it clears it. */
  password?: string | null | undefined;
  /** 1 to 65535. Needed when enabled. */
  port?: number | null | undefined;
  /** How to speak to it. */
  protocol?: ProxyProtocol;
  /** User name. */
  username?: string | null | undefined;
};

/** Proxy protocols. */
export type ProxyProtocol =
  /** HTTP CONNECT in the clear. */
  | 'HTTP'
  /** HTTP CONNECT over TLS. */
  | 'HTTPS'
  /** SOCKS 5; names are resolved by the proxy. */
  | 'SOCKS5';

/** Input of rotateInstanceToken. */
export type RotateInstanceTokenInput = {
  /** Which. */
  instance: InstanceRef;
};

/** Media storage to store. With enabled: false the rest is cleared. */
export type S3Config = {
  /** Existing bucket. Needed when enabled. */
  bucket?: string | null | undefined;
  /** Both keys or none. Left out: keep; null: clear; a new endpoint without them clears them. The server's own cloud identity is never used. */
  credentials?: S3Credentials | null | undefined;
  /** Switch. */
  enabled?: boolean;
  /** Left out or null: AWS; else an https address, a public one. */
  endpoint?: string | null | undefined;
  /** Prefix of every key; no `..`. */
  pathPrefix?: string | null | undefined;
  /** Region. Needed when enabled. */
  region?: string | null | undefined;
};

/** Keys of a media storage. */
export type S3Credentials = {
  /** Access key id. */
  accessKey: string;
  /** Secret key. */
  secretKey: string;
};

/** Input of setChatwoot. */
export type SetChatwootInput = {
  /** What to store. */
  config: ChatwootConfig;
  /** Which instance. */
  instance: InstanceRef;
};

/** Input of setProxy. */
export type SetProxyInput = {
  /** What to store. */
  config: ProxyConfig;
  /** Which instance. */
  instance: InstanceRef;
};

/** Input of setS3. */
export type SetS3Input = {
  /** What to store. */
  config: S3Config;
  /** Which instance. */
  instance: InstanceRef;
};

/** Input of setWebhook. */
export type SetWebhookInput = {
  /** What to store. */
  config: WebhookConfig;
  /** Which instance. */
  instance: InstanceRef;
  /** Which webhook. */
  label?: string;
};

/** Input of setWebsocket. */
export type SetWebsocketInput = {
  /** What to store. */
  config: WebsocketConfig;
  /** Which instance. */
  instance: InstanceRef;
};

/** Settings to change: left out is unchanged, null is BAD_USER_INPUT. */
export type SettingsPatch = {
  /** Mark messages as read. */
  autoReadMessages?: boolean | null | undefined;
  /** Reject incoming calls. */
  autoRejectCalls?: boolean | null | undefined;
  /** Text sent on rejecting, at most 1,000 characters. */
  callRejectMessage?: string | null | undefined;
  /** Do not ask for history. */
  disableHistorySync?: boolean | null | undefined;
  /** Drop group messages. */
  ignoreGroupMessages?: boolean | null | undefined;
  /** Drop status posts. */
  ignoreStatus?: boolean | null | undefined;
  /** Appear online. */
  keepOnlineStatus?: boolean | null | undefined;
};

/** The kinds of token. */
export type TokenKind =
  /** Every instance of one account. */
  | 'ACCOUNT'
  /** Exactly one instance. */
  | 'INSTANCE';

/** Input of updateSettings. */
export type UpdateSettingsInput = {
  /** Which instance. */
  instance: InstanceRef;
  /** At least one field. */
  patch: SettingsPatch;
};

/** A webhook to store. With enabled: false the rest is cleared. */
export type WebhookConfig = {
  /** Value of the Authorization header. Left out: keep; null: clear; a new url without it clears it. */
  authorization?: string | null | undefined;
  /** Append the event name to the path. */
  byEvents?: boolean;
  /** Switch. */
  enabled?: boolean;
  /** Left out or null: all six. An empty list is BAD_USER_INPUT. */
  events?: Array<EventType> | null | undefined;
  /** Put media inside the event. */
  mediaBase64?: boolean;
  /** https (or http where the operator allows it), no user info, a public address. Needed when enabled. */
  url?: string | null | undefined;
};

/** An event WebSocket to store. With enabled: false the rest is cleared. */
export type WebsocketConfig = {
  /** Switch. */
  enabled?: boolean;
  /** Left out or null: all six. An empty list is BAD_USER_INPUT. */
  events?: Array<EventType> | null | undefined;
  /** Put media inside the event. */
  mediaBase64?: boolean;
};

export type InstanceNamesQueryVariables = Exact<{
  names?: Array<string | null | undefined> | string | null | undefined;
}>;


export type InstanceNamesQuery = { instances: Array<{ name: string }> };

export type ConnectionStatesQueryVariables = Exact<{
  names?: Array<string | null | undefined> | string | null | undefined;
}>;


export type ConnectionStatesQuery = { instances: Array<{ name: string, connection: { state: ConnectionState, desiredState: DesiredConnectionState, numberJid: string | null, presenceStatus: PresenceStatus, displayStatus: string, since: string, observedAt: string | null, sequence: number, reason: { code: ConnectionReasonCode, message: string, whatsappCode: number | null, nextStep: NextStep, retryAt: string | null } | null } }> };

export type InstanceByNameQueryVariables = Exact<{
  name: string;
}>;


export type InstanceByNameQuery = { instance: { id: string, name: string } | null };

export type NodeByIdQueryVariables = Exact<{
  id: string | number;
}>;


export type NodeByIdQuery = { node:
    | { __typename: 'Account', name: string, id: string }
    | { __typename: 'Instance', name: string, id: string }
   | null };

export type EverythingQueryVariables = Exact<{
  names?: Array<string | null | undefined> | string | null | undefined;
}>;


export type EverythingQuery = { instances: Array<{ id: string, name: string, createdAt: string, updatedAt: string, connection: { state: ConnectionState, displayStatus: string }, profile: { name: string | null, pictureUrl: string | null, isBusiness: boolean, businessName: string | null } | null, webhook: { label: string, enabled: boolean, url: string | null, hasAuthorization: boolean, byEvents: boolean, events: Array<EventType>, mediaBase64: boolean } | null, webhooks: Array<{ label: string, enabled: boolean, url: string | null, hasAuthorization: boolean, byEvents: boolean, events: Array<EventType>, mediaBase64: boolean }> | null, websocket: { enabled: boolean, events: Array<EventType>, mediaBase64: boolean } | null, chatwoot: { enabled: boolean, status: ChatwootStatus | null, lastError: string | null, bridgeIntegrationId: string | null, baseUrl: string | null, accountId: number | null, inboxName: string | null, hasApiToken: boolean } | null, proxy: { enabled: boolean, host: string | null, port: number | null, protocol: ProxyProtocol | null, username: string | null, hasPassword: boolean } | null, settings: { autoRejectCalls: boolean, callRejectMessage: string, ignoreGroupMessages: boolean, keepOnlineStatus: boolean, autoReadMessages: boolean, disableHistorySync: boolean, ignoreStatus: boolean } | null, s3: { enabled: boolean, region: string | null, bucket: string | null, endpoint: string | null, pathPrefix: string | null, hasCredentials: boolean } | null }> };

export type CreateInstanceMutationVariables = Exact<{
  input: CreateInstanceInput;
}>;


export type CreateInstanceMutation = { createInstance: { token: string, instance: { id: string, name: string, createdAt: string, connection: { state: ConnectionState } } } | null };

export type DeleteInstanceMutationVariables = Exact<{
  input: DeleteInstanceInput;
}>;


export type DeleteInstanceMutation = { deleteInstance: { deletedInstanceId: string, deletedInstanceName: string } | null };

export type RotateInstanceTokenMutationVariables = Exact<{
  input: RotateInstanceTokenInput;
}>;


export type RotateInstanceTokenMutation = { rotateInstanceToken: { token: string, instance: { name: string } } | null };

export type SetWebhookMutationVariables = Exact<{
  input: SetWebhookInput;
}>;


export type SetWebhookMutation = { setWebhook: { webhook: { label: string, enabled: boolean, url: string | null, hasAuthorization: boolean, byEvents: boolean, events: Array<EventType>, mediaBase64: boolean }, instance: { name: string, updatedAt: string, webhooks: Array<{ label: string }> | null } } | null };

export type DeleteWebhookMutationVariables = Exact<{
  input: DeleteWebhookInput;
}>;


export type DeleteWebhookMutation = { deleteWebhook: { deletedLabel: string | null, instance: { webhooks: Array<{ label: string }> | null } } | null };

export type SetWebsocketMutationVariables = Exact<{
  input: SetWebsocketInput;
}>;


export type SetWebsocketMutation = { setWebsocket: { websocket: { enabled: boolean, events: Array<EventType>, mediaBase64: boolean } } | null };

export type SetChatwootMutationVariables = Exact<{
  input: SetChatwootInput;
}>;


export type SetChatwootMutation = { setChatwoot: { chatwoot: { enabled: boolean, status: ChatwootStatus | null, lastError: string | null, baseUrl: string | null, accountId: number | null, inboxName: string | null, hasApiToken: boolean } } | null };

export type SetProxyMutationVariables = Exact<{
  input: SetProxyInput;
}>;


export type SetProxyMutation = { setProxy: { proxy: { enabled: boolean, host: string | null, port: number | null, protocol: ProxyProtocol | null, username: string | null, hasPassword: boolean } } | null };

export type UpdateSettingsMutationVariables = Exact<{
  input: UpdateSettingsInput;
}>;


export type UpdateSettingsMutation = { updateSettings: { settings: { autoRejectCalls: boolean, callRejectMessage: string, ignoreGroupMessages: boolean, keepOnlineStatus: boolean, autoReadMessages: boolean, disableHistorySync: boolean, ignoreStatus: boolean } } | null };

export type SetS3MutationVariables = Exact<{
  input: SetS3Input;
}>;


export type SetS3Mutation = { setS3: { s3: { enabled: boolean, region: string | null, bucket: string | null, endpoint: string | null, pathPrefix: string | null, hasCredentials: boolean } } | null };

export type InstancePageQueryVariables = Exact<{
  first?: number | null | undefined;
  after?: string | null | undefined;
}>;


export type InstancePageQuery = { instancesConnection: { edges: Array<{ cursor: string, node: { id: string, name: string } }>, pageInfo: { hasNextPage: boolean, hasPreviousPage: boolean, startCursor: string | null, endCursor: string | null } } };

export type ConnectionChangedSubscriptionVariables = Exact<{
  names?: Array<string | null | undefined> | string | null | undefined;
}>;


export type ConnectionChangedSubscription = { connectionChanged: { kind: ConnectionEventKind, instanceId: string, instanceName: string, snapshotRemaining: number, connection: { state: ConnectionState, sequence: number, reason: { code: ConnectionReasonCode } | null }, instance: { name: string } | null } };

export type PairingSubscriptionVariables = Exact<{
  instance: InstanceRef;
}>;


export type PairingSubscription = { pairing:
    | { __typename: 'PairingFailed', reason: { code: ConnectionReasonCode, message: string, nextStep: NextStep } }
    | { __typename: 'PairingPhoneCode', code: string, expiresAt: string }
    | { __typename: 'PairingQrCode', value: string, image: string, ordinal: number, expiresAt: string }
    | { __typename: 'PairingSucceeded', numberJid: string, instance: { name: string } | null }
   };

export type WhoAmIQueryVariables = Exact<{ [key: string]: never; }>;


export type WhoAmIQuery = { viewer: { kind: TokenKind, account: { id: string, name: string, instanceCount: number, instanceQuota: number | null } | null, instance: { id: string, name: string } | null, rateLimit: { limit: number, remaining: number, resetAt: string } } };

export class TypedDocumentString<TResult, TVariables>
  extends String
  implements DocumentTypeDecoration<TResult, TVariables>
{
  __apiType?: NonNullable<DocumentTypeDecoration<TResult, TVariables>['__apiType']>;
  private value: string;
  public __meta__?: Record<string, any> | undefined;

  constructor(value: string, __meta__?: Record<string, any> | undefined) {
    super(value);
    this.value = value;
    this.__meta__ = __meta__;
  }

  override toString(): string & DocumentTypeDecoration<TResult, TVariables> {
    return this.value;
  }
}

export const InstanceNamesDocument = new TypedDocumentString(`
    query InstanceNames($names: [String]) {
  instances(names: $names) {
    name
  }
}
    `) as unknown as TypedDocumentString<InstanceNamesQuery, InstanceNamesQueryVariables>;
export const ConnectionStatesDocument = new TypedDocumentString(`
    query ConnectionStates($names: [String]) {
  instances(names: $names) {
    name
    connection {
      state
      desiredState
      numberJid
      presenceStatus
      displayStatus
      since
      observedAt
      sequence
      reason {
        code
        message
        whatsappCode
        nextStep
        retryAt
      }
    }
  }
}
    `) as unknown as TypedDocumentString<ConnectionStatesQuery, ConnectionStatesQueryVariables>;
export const InstanceByNameDocument = new TypedDocumentString(`
    query InstanceByName($name: String!) {
  instance(name: $name) {
    id
    name
  }
}
    `) as unknown as TypedDocumentString<InstanceByNameQuery, InstanceByNameQueryVariables>;
export const NodeByIdDocument = new TypedDocumentString(`
    query NodeById($id: ID!) {
  node(id: $id) {
    __typename
    id
    ... on Instance {
      name
    }
    ... on Account {
      name
    }
  }
}
    `) as unknown as TypedDocumentString<NodeByIdQuery, NodeByIdQueryVariables>;
export const EverythingDocument = new TypedDocumentString(`
    query Everything($names: [String]) {
  instances(names: $names) {
    id
    name
    createdAt
    updatedAt
    connection {
      state
      displayStatus
    }
    profile {
      name
      pictureUrl
      isBusiness
      businessName
    }
    webhook {
      label
      enabled
      url
      hasAuthorization
      byEvents
      events
      mediaBase64
    }
    webhooks {
      label
      enabled
      url
      hasAuthorization
      byEvents
      events
      mediaBase64
    }
    websocket {
      enabled
      events
      mediaBase64
    }
    chatwoot {
      enabled
      status
      lastError
      bridgeIntegrationId
      baseUrl
      accountId
      inboxName
      hasApiToken
    }
    proxy {
      enabled
      host
      port
      protocol
      username
      hasPassword
    }
    settings {
      autoRejectCalls
      callRejectMessage
      ignoreGroupMessages
      keepOnlineStatus
      autoReadMessages
      disableHistorySync
      ignoreStatus
    }
    s3 {
      enabled
      region
      bucket
      endpoint
      pathPrefix
      hasCredentials
    }
  }
}
    `) as unknown as TypedDocumentString<EverythingQuery, EverythingQueryVariables>;
export const CreateInstanceDocument = new TypedDocumentString(`
    mutation CreateInstance($input: CreateInstanceInput!) {
  createInstance(input: $input) {
    token
    instance {
      id
      name
      createdAt
      connection {
        state
      }
    }
  }
}
    `) as unknown as TypedDocumentString<CreateInstanceMutation, CreateInstanceMutationVariables>;
export const DeleteInstanceDocument = new TypedDocumentString(`
    mutation DeleteInstance($input: DeleteInstanceInput!) {
  deleteInstance(input: $input) {
    deletedInstanceId
    deletedInstanceName
  }
}
    `) as unknown as TypedDocumentString<DeleteInstanceMutation, DeleteInstanceMutationVariables>;
export const RotateInstanceTokenDocument = new TypedDocumentString(`
    mutation RotateInstanceToken($input: RotateInstanceTokenInput!) {
  rotateInstanceToken(input: $input) {
    token
    instance {
      name
    }
  }
}
    `) as unknown as TypedDocumentString<RotateInstanceTokenMutation, RotateInstanceTokenMutationVariables>;
export const SetWebhookDocument = new TypedDocumentString(`
    mutation SetWebhook($input: SetWebhookInput!) {
  setWebhook(input: $input) {
    webhook {
      label
      enabled
      url
      hasAuthorization
      byEvents
      events
      mediaBase64
    }
    instance {
      name
      updatedAt
      webhooks {
        label
      }
    }
  }
}
    `) as unknown as TypedDocumentString<SetWebhookMutation, SetWebhookMutationVariables>;
export const DeleteWebhookDocument = new TypedDocumentString(`
    mutation DeleteWebhook($input: DeleteWebhookInput!) {
  deleteWebhook(input: $input) {
    deletedLabel
    instance {
      webhooks {
        label
      }
    }
  }
}
    `) as unknown as TypedDocumentString<DeleteWebhookMutation, DeleteWebhookMutationVariables>;
export const SetWebsocketDocument = new TypedDocumentString(`
    mutation SetWebsocket($input: SetWebsocketInput!) {
  setWebsocket(input: $input) {
    websocket {
      enabled
      events
      mediaBase64
    }
  }
}
    `) as unknown as TypedDocumentString<SetWebsocketMutation, SetWebsocketMutationVariables>;
export const SetChatwootDocument = new TypedDocumentString(`
    mutation SetChatwoot($input: SetChatwootInput!) {
  setChatwoot(input: $input) {
    chatwoot {
      enabled
      status
      lastError
      baseUrl
      accountId
      inboxName
      hasApiToken
    }
  }
}
    `) as unknown as TypedDocumentString<SetChatwootMutation, SetChatwootMutationVariables>;
export const SetProxyDocument = new TypedDocumentString(`
    mutation SetProxy($input: SetProxyInput!) {
  setProxy(input: $input) {
    proxy {
      enabled
      host
      port
      protocol
      username
      hasPassword
    }
  }
}
    `) as unknown as TypedDocumentString<SetProxyMutation, SetProxyMutationVariables>;
export const UpdateSettingsDocument = new TypedDocumentString(`
    mutation UpdateSettings($input: UpdateSettingsInput!) {
  updateSettings(input: $input) {
    settings {
      autoRejectCalls
      callRejectMessage
      ignoreGroupMessages
      keepOnlineStatus
      autoReadMessages
      disableHistorySync
      ignoreStatus
    }
  }
}
    `) as unknown as TypedDocumentString<UpdateSettingsMutation, UpdateSettingsMutationVariables>;
export const SetS3Document = new TypedDocumentString(`
    mutation SetS3($input: SetS3Input!) {
  setS3(input: $input) {
    s3 {
      enabled
      region
      bucket
      endpoint
      pathPrefix
      hasCredentials
    }
  }
}
    `) as unknown as TypedDocumentString<SetS3Mutation, SetS3MutationVariables>;
export const InstancePageDocument = new TypedDocumentString(`
    query InstancePage($first: Int, $after: String) {
  instancesConnection(first: $first, after: $after) {
    edges {
      cursor
      node {
        id
        name
      }
    }
    pageInfo {
      hasNextPage
      hasPreviousPage
      startCursor
      endCursor
    }
  }
}
    `) as unknown as TypedDocumentString<InstancePageQuery, InstancePageQueryVariables>;
export const ConnectionChangedDocument = new TypedDocumentString(`
    subscription ConnectionChanged($names: [String]) {
  connectionChanged(names: $names) {
    kind
    instanceId
    instanceName
    snapshotRemaining
    connection {
      state
      sequence
      reason {
        code
      }
    }
    instance {
      name
    }
  }
}
    `) as unknown as TypedDocumentString<ConnectionChangedSubscription, ConnectionChangedSubscriptionVariables>;
export const PairingDocument = new TypedDocumentString(`
    subscription Pairing($instance: InstanceRef!) {
  pairing(instance: $instance) {
    __typename
    ... on PairingQrCode {
      value
      image
      ordinal
      expiresAt
    }
    ... on PairingPhoneCode {
      code
      expiresAt
    }
    ... on PairingSucceeded {
      numberJid
      instance {
        name
      }
    }
    ... on PairingFailed {
      reason {
        code
        message
        nextStep
      }
    }
  }
}
    `) as unknown as TypedDocumentString<PairingSubscription, PairingSubscriptionVariables>;
export const WhoAmIDocument = new TypedDocumentString(`
    query WhoAmI {
  viewer {
    kind
    account {
      id
      name
      instanceCount
      instanceQuota
    }
    instance {
      id
      name
    }
    rateLimit {
      limit
      remaining
      resetAt
    }
  }
}
    `) as unknown as TypedDocumentString<WhoAmIQuery, WhoAmIQueryVariables>;