import type { Kysely } from 'kysely'
import { alignByKey, groupByKey } from '../db/align.ts'
import type { DB } from '../db/types.ts'
import {
  type Chatwoot,
  CHATWOOT_OFF,
  chatwootsOf,
  DEFAULT_SETTINGS,
  type Proxy,
  PROXY_OFF,
  proxiesOf,
  type S3,
  S3_OFF,
  s3sOf,
  type Settings,
  settingsOf,
  type Websocket,
  WEBSOCKET_OFF,
  type ShownWebhook,
  webhookOff,
  webhooksOf,
  websocketsOf,
} from './queries.ts'

type OfInstances<Row> = (db: Kysely<DB>, ids: readonly string[]) => Promise<(Row & { instanceId: string })[]>

/** The row of each instance, or what is true of one without. */
const oneOrElse =
  <Row>(query: OfInstances<Row>, fallback: Row) =>
  async (db: Kysely<DB>, ids: readonly string[]): Promise<Row[]> =>
    alignByKey<string, Row & { instanceId: string }, Row>(ids, await query(db, ids), (row) => row.instanceId, fallback)

/** By instance id, one statement a batch. */
export const INTEGRATION_BATCHES = {
  webhooks: async (db: Kysely<DB>, ids: readonly string[]): Promise<ShownWebhook[][]> => {
    const grouped = groupByKey(ids, await webhooksOf(db, ids), (row) => row.instanceId)
    return grouped.map((webhooks) => webhooks.map((row) => (row.enabled ? row : webhookOff(row.label))))
  },
  websocket: oneOrElse<Websocket>(websocketsOf, WEBSOCKET_OFF),
  chatwoot: oneOrElse<Chatwoot>(chatwootsOf, CHATWOOT_OFF),
  proxy: oneOrElse<Proxy>(proxiesOf, PROXY_OFF),
  settings: oneOrElse<Settings>(settingsOf, DEFAULT_SETTINGS),
  s3: oneOrElse<S3>(s3sOf, S3_OFF),
}
