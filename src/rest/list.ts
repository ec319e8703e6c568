import type { ConnectionStatus } from '../connection/state.ts'
import { type Bytes, jsonList } from '../http/bytes.ts'
import { defaultWebhookOf } from '../integration/queries.ts'
import type { Instance } from '../instance/queries.ts'
import type { Blocks } from '../read-model/blocks.ts'

/** The documented body of `GET /api/instance/list`. */
export function listBody(items: readonly Bytes[]): Bytes {
  const total = items.length
  const message = total === 1 ? '1 Instance found' : `${total} Instances found`
  const body = `{"success":true,"message":"${message}","instances":${jsonList(items)},"meta":{"total":${total}}}`
  return body as Bytes
}

/** What an item's rows say, in two texts: before and after its connection. */
export function itemTexts({ id, name, createdAt, updatedAt }: Instance, blocks: Blocks): [string, string] {
  const { profile, websocket, chatwoot, proxy, settings, s3 } = blocks
  const webhook = defaultWebhookOf(blocks.webhooks)
  const before = JSON.stringify({ id, name })
  const after = JSON.stringify({
    profile: {
      name: profile.name ?? '',
      pictureUrl: profile.pictureUrl ?? '',
      isBusiness: profile.isBusiness,
      businessName: profile.businessName ?? '',
    },
    webhook: {
      label: webhook.label,
      enabled: webhook.enabled,
      url: webhook.url ?? '',
      byEvents: webhook.byEvents,
      events: webhook.events,
      mediaBase64: webhook.mediaBase64,
    },
    websocket: { enabled: websocket.enabled, events: websocket.events, mediaBase64: websocket.mediaBase64 },
    chatwoot: {
      enabled: chatwoot.enabled,
      status: chatwoot.status,
      bridgeIntegrationId: chatwoot.bridgeIntegrationId,
      baseUrl: chatwoot.baseUrl,
      accountId: chatwoot.accountId,
      inboxName: chatwoot.inboxName,
    },
    proxy: {
      enabled: proxy.enabled,
      host: proxy.host,
      port: proxy.port === null ? null : String(proxy.port),
      protocol: proxy.protocol,
      username: proxy.username,
    },
    settings: {
      autoRejectCalls: settings.autoRejectCalls,
      callRejectMessage: settings.callRejectMessage,
      ignoreGroupMessages: settings.ignoreGroupMessages,
      keepOnlineStatus: settings.keepOnlineStatus,
      autoReadMessages: settings.autoReadMessages,
      disableHistorySync: settings.disableHistorySync,
      ignoreStatus: settings.ignoreStatus,
    },
    s3: {
      enabled: s3.enabled,
      region: s3.region,
      bucket: s3.bucket,
      endpoint: s3.endpoint,
      pathPrefix: s3.pathPrefix,
    },
    createdAt: createdAt.toISOString(),
    updatedAt: updatedAt.toISOString(),
  })
  return [`${before.slice(0, -1)},`, `,${after.slice(1)}`]
}

/** What an item says of its connection at this moment, between its two texts. */
export function connectionText({ state, numberJid, presenceStatus, displayStatus }: ConnectionStatus): string {
  const connection = { state, numberJid, presenceStatus, displayStatus }
  return JSON.stringify({ status: state, numberJid, connection }).slice(1, -1)
}
