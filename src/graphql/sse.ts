import type { ServerResponse } from 'node:http'
import { GatewayError } from '../errors.ts'
import type { EventStream } from './event-stream.ts'
import { EventText } from './event-text.ts'

const PING_MS = 12_000
/** A reader that has taken nothing for so many pings is cut off. */
const PATIENCE = 2

/**
 * Answers with GraphQL over SSE, in distinct connections mode: a `next` for each text of a stream, or for the only one,
 * then `complete`. What a stream ends with is told in a last `next`.
 */
export async function replyEvents(
  response: ServerResponse,
  events: EventStream | EventText,
  pingMs = PING_MS,
): Promise<void> {
  response.writeHead(200, { 'Content-Type': 'text/event-stream; charset=utf-8', 'X-Accel-Buffering': 'no' })
  // Some browsers hand over nothing before the first byte.
  response.write(':\n\n')
  const pinging = setInterval(pingOf(response), pingMs)
  try {
    if (events instanceof EventText) response.write(events.sse)
    else {
      response.on('drain', () => events.resume()).once('close', () => events.close())
      await events.flow((text) => response.write(text.sse))
    }
  } catch (failure) {
    if (!(failure instanceof GatewayError)) throw failure
    const { message, extensions } = failure
    response.write(new EventText(JSON.stringify({ errors: [{ message, extensions }] })).sse)
  } finally {
    clearInterval(pinging)
    response.end('event: complete\ndata:\n\n')
  }
}

function pingOf(response: ServerResponse): () => void {
  let missed = 0
  return () => {
    missed = response.writableNeedDrain ? missed + 1 : 0
    if (missed >= PATIENCE) response.destroy()
    else if (missed === 0) response.write(':\n\n')
  }
}
