import { randomUUID } from 'node:crypto'
import { type Kysely, sql } from 'kysely'
import type { DB } from '../db/types.ts'
import { GatewayError } from '../errors.ts'
import type { SealedPlace, Sealer } from '../sealing/sealer.ts'
import type { ChatwootConfig, ProxyConfig, S3Config, SettingsPatch, WebhookConfig, WebsocketConfig } from './config.ts'

/*
 * Writes of one instance's integrations. Each is called inside a transaction that holds the instance's row, so that
 * what it reads first is still true when it writes.
 */

const MAX_ENABLED_WEBHOOKS = 3
const MAX_WEBHOOKS = 20

/**
 * The column of a secret after a write: a new one is sealed, null clears it, and one that is left out stays (undefined:
 * the column is not written, so that a rotation of keys at the same time is not undone) — unless the address that it is
 * sent to has changed, or somebody could have it sent to an address of their own.
 */
function nextSecret(
  sealer: Sealer,
  place: SealedPlace,
  given: string | null | undefined,
  isSameAddress: boolean,
): Buffer | null | undefined {
  if (given === undefined) return isSameAddress ? undefined : null
  return given === null ? null : sealer.seal(place, given)
}

export async function setWebhook(
  transaction: Kysely<DB>,
  sealer: Sealer,
  instanceId: string,
  label: string,
  config: WebhookConfig,
): Promise<void> {
  const webhooks = await transaction
    .selectFrom('webhooks')
    .select(['id', 'label', 'enabled', 'url'])
    .where('instance_id', '=', instanceId)
    .execute()
  const current = webhooks.find((webhook) => webhook.label === label)
  const others = webhooks.filter((webhook) => webhook !== current)
  if (config.enabled && others.filter(({ enabled }) => enabled).length >= MAX_ENABLED_WEBHOOKS) {
    throw new GatewayError(
      'QUOTA_EXCEEDED',
      `An instance may have ${MAX_ENABLED_WEBHOOKS} enabled webhooks and has them. Disable or delete one`,
    )
  }
  if (others.length >= MAX_WEBHOOKS) {
    throw new GatewayError('QUOTA_EXCEEDED', `An instance may have ${MAX_WEBHOOKS} webhooks and has them. Delete one`)
  }

  const id = current?.id ?? randomUUID()
  const place = { table: 'webhooks', column: 'authorization_sealed', rowId: id }
  const row = config.enabled
    ? {
        enabled: true,
        url: config.url,
        authorization_sealed: nextSecret(sealer, place, config.authorization, current?.url === config.url),
        by_events: config.byEvents,
        events: config.events,
        media_base64: config.mediaBase64,
      }
    : { enabled: false, url: null, authorization_sealed: null, by_events: false, events: [], media_base64: false }
  await transaction
    .insertInto('webhooks')
    .values({ id, instance_id: instanceId, label, ...row })
    .onConflict((conflict) => conflict.columns(['instance_id', 'label']).doUpdateSet(row))
    .execute()
}

/** Whether there was one. */
export async function deleteWebhook(transaction: Kysely<DB>, instanceId: string, label: string): Promise<boolean> {
  const deleted = await transaction
    .deleteFrom('webhooks')
    .where('instance_id', '=', instanceId)
    .where('label', '=', label)
    .returning('id')
    .executeTakeFirst()
  return deleted !== undefined
}

/** An integration that is switched off has no row: nothing of it is left. */
const clear = (transaction: Kysely<DB>, table: 'websockets' | 'chatwoots' | 'proxies' | 's3s', instanceId: string) =>
  transaction.deleteFrom(table).where('instance_id', '=', instanceId).execute()

export async function setWebsocket(
  transaction: Kysely<DB>,
  instanceId: string,
  config: WebsocketConfig,
): Promise<void> {
  if (!config.enabled) return void (await clear(transaction, 'websockets', instanceId))
  const row = { enabled: true, events: config.events, media_base64: config.mediaBase64 }
  await transaction
    .insertInto('websockets')
    .values({ instance_id: instanceId, ...row })
    .onConflict((conflict) => conflict.column('instance_id').doUpdateSet(row))
    .execute()
}

export async function setChatwoot(
  transaction: Kysely<DB>,
  sealer: Sealer,
  instanceId: string,
  config: ChatwootConfig,
): Promise<void> {
  if (!config.enabled) return void (await clear(transaction, 'chatwoots', instanceId))
  const current = await transaction
    .selectFrom('chatwoots')
    .select(['base_url', 'account_id'])
    .where('instance_id', '=', instanceId)
    .executeTakeFirst()
  const isSameAddress = current?.base_url === config.baseUrl
  const place = { table: 'chatwoots', column: 'api_token_sealed', rowId: instanceId }
  const row = {
    enabled: true,
    status: 'active' as const,
    last_error: null,
    base_url: config.baseUrl,
    account_id: config.accountId,
    inbox_name: config.inboxName,
    api_token_sealed: nextSecret(sealer, place, config.apiToken, isSameAddress),
    // The bridge's id belongs to the account in which it was made.
    bridge_integration_id: isSameAddress && current.account_id === config.accountId ? undefined : null,
    sign_messages: config.signMessages,
    ignore_groups: config.ignoreGroups,
    start_as_pending: config.startAsPending,
    reopen_resolved: config.reopenResolved,
  }
  await transaction
    .insertInto('chatwoots')
    .values({ instance_id: instanceId, ...row })
    .onConflict((conflict) => conflict.column('instance_id').doUpdateSet(row))
    .execute()
}

export async function setProxy(
  transaction: Kysely<DB>,
  sealer: Sealer,
  instanceId: string,
  config: ProxyConfig,
): Promise<void> {
  if (!config.enabled) return void (await clear(transaction, 'proxies', instanceId))
  const current = await transaction
    .selectFrom('proxies')
    .select(['host', 'port', 'username'])
    .where('instance_id', '=', instanceId)
    .executeTakeFirst()
  const username = config.username ?? null
  const isSame = current?.host === config.host && current.port === config.port && current.username === username
  const place = { table: 'proxies', column: 'password_sealed', rowId: instanceId }
  const row = {
    enabled: true,
    host: config.host,
    port: config.port,
    protocol: config.protocol,
    username,
    password_sealed: nextSecret(sealer, place, config.password, isSame),
  }
  await transaction
    .insertInto('proxies')
    .values({ instance_id: instanceId, ...row })
    .onConflict((conflict) => conflict.column('instance_id').doUpdateSet(row))
    .execute()
}

export async function setS3(
  transaction: Kysely<DB>,
  sealer: Sealer,
  instanceId: string,
  config: S3Config,
): Promise<void> {
  if (!config.enabled) return void (await clear(transaction, 's3s', instanceId))
  const current = await transaction
    .selectFrom('s3s')
    .select('endpoint')
    .where('instance_id', '=', instanceId)
    .executeTakeFirst()
  const endpoint = config.endpoint ?? null
  const isSame = current?.endpoint === endpoint
  const keyOf = (column: 'access_key_sealed' | 'secret_key_sealed', given: string | null | undefined) =>
    nextSecret(sealer, { table: 's3s', column, rowId: instanceId }, given, isSame)
  const { credentials } = config
  const row = {
    enabled: true,
    region: config.region,
    bucket: config.bucket,
    endpoint,
    path_prefix: config.pathPrefix ?? null,
    access_key_sealed: keyOf('access_key_sealed', credentials && credentials.accessKey),
    secret_key_sealed: keyOf('secret_key_sealed', credentials && credentials.secretKey),
  }
  await transaction
    .insertInto('s3s')
    .values({ instance_id: instanceId, ...row })
    .onConflict((conflict) => conflict.column('instance_id').doUpdateSet(row))
    .execute()
}

export async function updateSettings(transaction: Kysely<DB>, instanceId: string, patch: SettingsPatch): Promise<void> {
  const row = {
    auto_reject_calls: patch.autoRejectCalls,
    call_reject_message: patch.callRejectMessage,
    ignore_group_messages: patch.ignoreGroupMessages,
    keep_online_status: patch.keepOnlineStatus,
    auto_read_messages: patch.autoReadMessages,
    disable_history_sync: patch.disableHistorySync,
    ignore_status: patch.ignoreStatus,
  }
  // Kysely leaves out what is undefined, so that columns which are not named keep their value or take their default.
  await transaction
    .insertInto('settings')
    .values({ instance_id: instanceId, ...row })
    .onConflict((conflict) =>
      conflict.column('instance_id').doUpdateSet({ ...row, instance_id: sql`excluded.instance_id` }),
    )
    .execute()
}
