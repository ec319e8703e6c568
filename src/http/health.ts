import type { ServerResponse } from 'node:http'
import { sql } from 'kysely'
import type { Services } from '../services.ts'
import { within } from '../within.ts'
import { replyJson } from './reply.ts'

const READY_TIMEOUT_MS = 2_000

/** `/health/live`: the process answers. */
export const replyLive = (response: ServerResponse): void => replyJson(response, 200, '{"status":"live"}')

/** `/health/ready`: the process takes requests and its database answers. */
export async function replyReady(response: ServerResponse, { db }: Services, isStopping: boolean): Promise<void> {
  if (isStopping) return replyJson(response, 503, '{"status":"stopping"}')
  const answer = sql`select 1`.execute(db).catch(() => null)
  if (await within(READY_TIMEOUT_MS, answer)) replyJson(response, 200, '{"status":"ready"}')
  else replyJson(response, 503, '{"status":"unavailable","reason":"the database does not answer"}')
}
