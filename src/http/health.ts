import type { ServerResponse } from 'node:http'
import { sql } from 'kysely'
import type { Services } from '../services.ts'
import { replyJson } from './reply.ts'

const READY_TIMEOUT_MS = 2_000

/** `/health/live`: the process answers. */
export const replyLive = (response: ServerResponse): void => replyJson(response, 200, '{"status":"live"}')

/** `/health/ready`: the process takes requests and its database answers. */
export async function replyReady(response: ServerResponse, { db }: Services, isStopping: boolean): Promise<void> {
  if (isStopping) return replyJson(response, 503, '{"status":"stopping"}')
  const isAnswering = await answersInTime(sql`select 1`.execute(db))
  if (isAnswering) replyJson(response, 200, '{"status":"ready"}')
  else replyJson(response, 503, '{"status":"unavailable","reason":"the database does not answer"}')
}

async function answersInTime(answer: Promise<unknown>): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined
  const tooLate = new Promise<boolean>((resolve) => {
    timer = setTimeout(() => resolve(false), READY_TIMEOUT_MS)
  })
  const inTime = answer.then(
    () => true,
    () => false,
  )
  try {
    return await Promise.race([inTime, tooLate])
  } finally {
    clearTimeout(timer)
  }
}
