/* eslint-disable */
/** Internal type. DO NOT USE DIRECTLY. */
type Exact<T extends { [key: string]: unknown }> = { [K in keyof T]: T[K] };
/** Internal type. DO NOT USE DIRECTLY. */
export type Incremental<T> = T | { [P in keyof T]?: P extends ' $fragmentName' | '__typename' ? T[P] : never };
import type { DocumentTypeDecoration } from '@graphql-typed-document-node/core';
/** State of a Chatwoot bridge. */
export type ChatwootStatus =
  /** Working. */
  | 'ACTIVE'
  /** Failing: see lastError. */
  | 'ERROR'
  /** Held. */
  | 'PAUSED';

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

/** Proxy protocols. */
export type ProxyProtocol =
  /** HTTP CONNECT in the clear. */
  | 'HTTP'
  /** HTTP CONNECT over TLS. */
  | 'HTTPS'
  /** SOCKS 5; names are resolved by the proxy. */
  | 'SOCKS5';

/** The kinds of token. */
export type TokenKind =
  /** Every instance of one account. */
  | 'ACCOUNT'
  /** Exactly one instance. */
  | 'INSTANCE';

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