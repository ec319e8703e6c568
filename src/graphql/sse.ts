import type { ServerResponse } from 'node:http'
import { GatewayError } from '../errors.ts'

const PING_MS = 12_000
/** A reader that has taken nothing for so many pings is cut off. */
const PATIENCE = 2

/**
 * Answers with GraphQL over SSE, in distinct connections mode: a `next` for each JSON text, then `complete`. The next
 * text is asked for when the one before was taken, so a slow reader costs one. What the texts end with is told in a last
 * `next`.
 */
export async function replyEvents(
  response: ServerResponse,
  texts: AsyncIterable<string> | Iterable<string>,
  pingMs = PING_MS,
): Promise<void> {
  response.writeHead(200, { 'Content-Type': 'text/event-stream; charset=utf-8', 'X-Accel-Buffering': 'no' })
  // Some browsers hand over nothing before the first byte.
  response.write(':\n\n')
  const pinging = setInterval(pingOf(response), pingMs)
  try {
    for await (const text of texts) {
      await write(response, text)
      if (response.destroyed) break
    }
  } catch (failure) {
    if (!(failure instanceof GatewayError)) throw failure
    const { message, extensions } = failure
    await write(response, JSON.stringify({ errors: [{ message, extensions }] }))
  } finally {
    clearInterval(pinging)
    response.end('event: complete\ndata:\n\n')
  }
}

/** Resolves when more can be written, or nothing any more. */
async function write(response: ServerResponse, text: string): Promise<void> {
  if (response.write(`event: next\ndata: ${text}\n\n`) || response.destroyed) return
  await new Promise<void>((resolve) => {
    const settle = () => {
      response.off('drain', settle).off('close', settle)
      resolve()
    }
    response.once('drain', settle).once('close', settle)
  })
}

function pingOf(response: ServerResponse): () => void {
  let missed = 0
  return () => {
    missed = response.writableNeedDrain ? missed + 1 : 0
    if (missed >= PATIENCE) response.destroy()
    else if (missed === 0) response.write(':\n\n')
  }
}
