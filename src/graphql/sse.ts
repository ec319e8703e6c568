import type { ServerResponse } from 'node:http'
import type { GatewayError } from '../errors.ts'
import type { EventStream } from './event-stream.ts'
import { EventText } from './event-text.ts'

const PING_MS = 12_000
/** A reader that has taken nothing for so many pings is cut off. */
const PATIENCE = 2

/** GraphQL over SSE, in distinct connections mode: a `next` for each text, then `complete`. */
export class SseReplies {
  readonly #pingMs: number
  /** Open streams, and the pings that each has missed. One timer for all, which runs while there are any. */
  readonly #missed = new Map<ServerResponse, number>()
  #pinging: NodeJS.Timeout | undefined

  constructor(pingMs = PING_MS) {
    this.#pingMs = pingMs
  }

  /** Answers with a single result. */
  reply(response: ServerResponse, text: EventText): void {
    begin(response)
    response.write(text.sse)
    complete(response)
  }

  /** Answers with a stream, from here to its end. What it ends with is told in a last `next`. */
  stream(response: ServerResponse, events: EventStream): void {
    begin(response)
    this.#keepAlive(response)
    response
      .on('drain', () => events.resume())
      .once('close', () => {
        this.#forget(response)
        events.close()
      })
    events.flow({
      write: (text) => response.write(text.sse),
      end: (reason) => {
        this.#forget(response)
        if (reason) response.write(textOf(reason).sse)
        complete(response)
      },
    })
  }

  #keepAlive(response: ServerResponse): void {
    this.#missed.set(response, 0)
    this.#pinging ??= setInterval(() => this.#ping(), this.#pingMs)
  }

  #forget(response: ServerResponse): void {
    this.#missed.delete(response)
    if (this.#missed.size > 0) return
    clearInterval(this.#pinging)
    this.#pinging = undefined
  }

  #ping(): void {
    for (const [response, before] of this.#missed) {
      const missed = response.writableNeedDrain ? before + 1 : 0
      this.#missed.set(response, missed)
      if (missed >= PATIENCE) response.destroy()
      else if (missed === 0) response.write(':\n\n')
    }
  }
}

function begin(response: ServerResponse): void {
  response.writeHead(200, { 'Content-Type': 'text/event-stream; charset=utf-8', 'X-Accel-Buffering': 'no' })
  // Some browsers hand over nothing before the first byte.
  response.write(':\n\n')
}

const complete = (response: ServerResponse) => void response.end('event: complete\ndata:\n\n')

const textOf = ({ message, extensions }: GatewayError) =>
  new EventText(JSON.stringify({ errors: [{ message, extensions }] }))
