import DataLoader from 'dataloader'
import type { Kysely } from 'kysely'
import { alignByKey, groupByKey } from '../db/align.ts'
import type { DB } from '../db/types.ts'
import type { Schedule } from '../outstanding.ts'
import {
  CHATWOOT_OFF,
  chatwootsOf,
  DEFAULT_SETTINGS,
  PROXY_OFF,
  proxiesOf,
  S3_OFF,
  s3sOf,
  settingsOf,
  WEBSOCKET_OFF,
  type ShownWebhook,
  webhookOff,
  webhooksOf,
  websocketsOf,
} from './queries.ts'

type OfInstances<Row> = (db: Kysely<DB>, ids: readonly string[]) => Promise<(Row & { instanceId: string })[]>

/** By instance id: the row, or what is true of an instance without one. */
const oneOrElse = <Row, Fallback>(db: Kysely<DB>, schedule: Schedule, query: OfInstances<Row>, fallback: Fallback) =>
  new DataLoader(
    async (ids: readonly string[]) => alignByKey(ids, await query(db, ids), (row) => row.instanceId, fallback),
    schedule,
  )

/** By instance id; each costs one statement per request at most. */
export const createIntegrationLoaders = (db: Kysely<DB>, schedule: Schedule) => ({
  webhooks: new DataLoader(async (ids: readonly string[]) => {
    const rows = await webhooksOf(db, ids)
    const grouped = groupByKey(ids, rows, (row) => row.instanceId)
    return grouped.map((webhooks): ShownWebhook[] => webhooks.map((row) => (row.enabled ? row : webhookOff(row.label))))
  }, schedule),
  websocket: oneOrElse(db, schedule, websocketsOf, WEBSOCKET_OFF),
  chatwoot: oneOrElse(db, schedule, chatwootsOf, CHATWOOT_OFF),
  proxy: oneOrElse(db, schedule, proxiesOf, PROXY_OFF),
  settings: oneOrElse(db, schedule, settingsOf, DEFAULT_SETTINGS),
  s3: oneOrElse(db, schedule, s3sOf, S3_OFF),
})
