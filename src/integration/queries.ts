import { type Kysely, sql } from 'kysely'
import type { DB } from '../db/types.ts'
import type { EventName } from './events.ts'

/*
 * One statement per integration, for any number of instances. Secrets are never read here, only whether there is one.
 * An integration that is switched off reads like one that was never configured, whatever else its row holds.
 */

const among = (ids: readonly string[]) => sql<boolean>`instance_id = any(${ids}::uuid[])`
const isStored = (column: string) => sql<boolean>`${sql.ref(column)} is not null`

export type Webhook = {
  instanceId: string
  label: string
  enabled: boolean
  url: string | null
  hasAuthorization: boolean
  byEvents: boolean
  /** As written; empty means all. */
  events: readonly EventName[]
  mediaBase64: boolean
}

export const DEFAULT_WEBHOOK_LABEL = 'default'

/** A webhook as it is shown. */
export type ShownWebhook = Omit<Webhook, 'instanceId'>

export const webhookOff = (label: string): ShownWebhook => ({
  label,
  enabled: false,
  url: null,
  hasAuthorization: false,
  byEvents: false,
  events: [],
  mediaBase64: false,
})

/** The one that is meant where only one is shown. */
export const defaultWebhookOf = (webhooks: readonly ShownWebhook[]): ShownWebhook =>
  webhooks.find(({ label }) => label === DEFAULT_WEBHOOK_LABEL) ?? webhookOff(DEFAULT_WEBHOOK_LABEL)

/** All webhooks of the instances, the disabled ones included, by label. */
export const webhooksOf = (db: Kysely<DB>, ids: readonly string[]): Promise<Webhook[]> =>
  db
    .selectFrom('webhooks')
    .select([
      'instance_id as instanceId',
      'label',
      'enabled',
      'url',
      isStored('authorization_sealed').as('hasAuthorization'),
      'by_events as byEvents',
      'events',
      'media_base64 as mediaBase64',
    ])
    .where(among(ids))
    .orderBy('label')
    .execute()

export type Websocket = { enabled: boolean; events: readonly EventName[]; mediaBase64: boolean }

export const WEBSOCKET_OFF: Websocket = { enabled: false, events: [], mediaBase64: false }

export const websocketsOf = (db: Kysely<DB>, ids: readonly string[]) =>
  db
    .selectFrom('websockets')
    .select(['instance_id as instanceId', 'enabled', 'events', 'media_base64 as mediaBase64'])
    .where(among(ids))
    .where('enabled', '=', true)
    .execute()

export type Chatwoot = {
  enabled: boolean
  status: 'active' | 'paused' | 'error' | null
  lastError: string | null
  bridgeIntegrationId: string | null
  baseUrl: string | null
  accountId: number | null
  inboxName: string | null
  hasApiToken: boolean
}

export const CHATWOOT_OFF: Chatwoot = {
  enabled: false,
  status: null,
  lastError: null,
  bridgeIntegrationId: null,
  baseUrl: null,
  accountId: null,
  inboxName: null,
  hasApiToken: false,
}

export const chatwootsOf = (db: Kysely<DB>, ids: readonly string[]) =>
  db
    .selectFrom('chatwoots')
    .select([
      'instance_id as instanceId',
      'enabled',
      'status',
      'last_error as lastError',
      'bridge_integration_id as bridgeIntegrationId',
      'base_url as baseUrl',
      'account_id as accountId',
      'inbox_name as inboxName',
      isStored('api_token_sealed').as('hasApiToken'),
    ])
    .where(among(ids))
    .where('enabled', '=', true)
    .execute()

export type Proxy = {
  enabled: boolean
  host: string | null
  port: number | null
  protocol: 'http' | 'https' | 'socks5' | null
  username: string | null
  hasPassword: boolean
}

export const PROXY_OFF: Proxy = {
  enabled: false,
  host: null,
  port: null,
  protocol: null,
  username: null,
  hasPassword: false,
}

export const proxiesOf = (db: Kysely<DB>, ids: readonly string[]) =>
  db
    .selectFrom('proxies')
    .select([
      'instance_id as instanceId',
      'enabled',
      'host',
      'port',
      'protocol',
      'username',
      isStored('password_sealed').as('hasPassword'),
    ])
    .where(among(ids))
    .where('enabled', '=', true)
    .execute()

export type Settings = {
  autoRejectCalls: boolean
  callRejectMessage: string
  ignoreGroupMessages: boolean
  keepOnlineStatus: boolean
  autoReadMessages: boolean
  disableHistorySync: boolean
  ignoreStatus: boolean
}

export const DEFAULT_SETTINGS: Settings = {
  autoRejectCalls: false,
  callRejectMessage: '',
  ignoreGroupMessages: false,
  keepOnlineStatus: false,
  autoReadMessages: false,
  disableHistorySync: true,
  ignoreStatus: false,
}

export const settingsOf = (db: Kysely<DB>, ids: readonly string[]) =>
  db
    .selectFrom('settings')
    .select([
      'instance_id as instanceId',
      'auto_reject_calls as autoRejectCalls',
      'call_reject_message as callRejectMessage',
      'ignore_group_messages as ignoreGroupMessages',
      'keep_online_status as keepOnlineStatus',
      'auto_read_messages as autoReadMessages',
      'disable_history_sync as disableHistorySync',
      'ignore_status as ignoreStatus',
    ])
    .where(among(ids))
    .execute()

export type S3 = {
  enabled: boolean
  region: string | null
  bucket: string | null
  endpoint: string | null
  pathPrefix: string | null
  hasCredentials: boolean
}

export const S3_OFF: S3 = {
  enabled: false,
  region: null,
  bucket: null,
  endpoint: null,
  pathPrefix: null,
  hasCredentials: false,
}

export const s3sOf = (db: Kysely<DB>, ids: readonly string[]) =>
  db
    .selectFrom('s3s')
    .select([
      'instance_id as instanceId',
      'enabled',
      'region',
      'bucket',
      'endpoint',
      'path_prefix as pathPrefix',
      isStored('secret_key_sealed').as('hasCredentials'),
    ])
    .where(among(ids))
    .where('enabled', '=', true)
    .execute()
