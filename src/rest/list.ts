import type { ConnectionStatus } from '../connection/state.ts'
import type { Instance } from '../instance/queries.ts'
import {
  type Chatwoot,
  DEFAULT_WEBHOOK_LABEL,
  type Proxy,
  type S3,
  type Settings,
  type ShownWebhook,
  type Websocket,
  webhookOff,
} from '../integration/queries.ts'
import type { Profile } from '../profile/queries.ts'

/** Everything that one item of the list is written from. */
export type ListedInstance = {
  instance: Instance
  connection: ConnectionStatus
  profile: Profile
  webhooks: readonly ShownWebhook[]
  websocket: Websocket
  chatwoot: Chatwoot
  proxy: Proxy
  settings: Settings
  s3: S3
}

/** The documented body of `GET /api/instance/list`. */
export const listBody = (listed: readonly ListedInstance[]) => ({
  success: true,
  message: listed.length === 1 ? '1 Instance found' : `${listed.length} Instances found`,
  instances: listed.map(listItem),
  meta: { total: listed.length },
})

function listItem({
  instance,
  connection,
  profile,
  webhooks,
  websocket,
  chatwoot,
  proxy,
  settings,
  s3,
}: ListedInstance) {
  const webhook = webhooks.find(({ label }) => label === DEFAULT_WEBHOOK_LABEL) ?? webhookOff(DEFAULT_WEBHOOK_LABEL)
  return {
    id: instance.id,
    name: instance.name,
    status: connection.state,
    numberJid: connection.numberJid,
    connection: {
      state: connection.state,
      numberJid: connection.numberJid,
      presenceStatus: connection.presenceStatus,
      displayStatus: connection.displayStatus,
    },
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
    createdAt: instance.createdAt.toISOString(),
    updatedAt: instance.updatedAt.toISOString(),
  }
}
