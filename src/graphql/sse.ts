import type { ServerResponse } from 'node:http'
import type { GatewayError } from '../errors.ts'
import type { EventStream, Sink } from './event-stream.ts'
import { EventText } from './event-text.ts'

const PING_MS = 12_000
/** A reader that has taken nothing for so many pings is cut off. */
const PATIENCE = 2

/** GraphQL over SSE, in distinct connections mode: a `next` for each text, then `complete`. */
export class SseReplies {
  readonly #pingMs: number
  /** Open streams. One timer pings them all, while there are any. */
  readonly #open = new Set<SseStream>()
  #pinging: NodeJS.Timeout | undefined

  constructor(pingMs = PING_MS) {
    this.#pingMs = pingMs
  }

  /** Answers with a single result. */
  reply(response: ServerResponse, text: EventText): void {
    begin(response)
    response.write(text.sse, 'latin1')
    complete(response)
  }

  /** Answers with a stream, from here to its end. What it ends with is told in a last `next`. */
  stream(response: ServerResponse, events: EventStream): void {
    begin(response)
    const stream = new SseStream(response, events)
    this.#open.add(stream)
    this.#pinging ??= setInterval(() => this.#ping(), this.#pingMs)
    stream.whenOver = () => this.#forget(stream)
    response.once('close', () => {
      this.#forget(stream)
      events.close()
    })
    events.flow(stream)
  }

  #forget(stream: SseStream): void {
    this.#open.delete(stream)
    if (this.#open.size > 0) return
    clearInterval(this.#pinging)
    this.#pinging = undefined
  }

  #ping(): void {
    for (const stream of this.#open) stream.ping()
  }
}

/** One open stream. */
class SseStream implements Sink {
  readonly #response: ServerResponse
  readonly #events: EventStream
  #missedPings = 0
  whenOver: () => void = () => {}

  constructor(response: ServerResponse, events: EventStream) {
    this.#response = response
    this.#events = events
  }

  write(text: EventText): boolean {
    const { socket, chunkedEncoding } = this.#response
    // Behind an answer that is asked for on the same connection and not given yet, there is no socket.
    if (!socket || !chunkedEncoding) {
      const hasRoom = this.#response.write(text.sse, 'latin1')
      if (!hasRoom) this.#response.once('drain', () => this.#events.resume())
      return hasRoom
    }
    // In one piece, which is the same for all: Node would hand over each chunk in four.
    const hasRoom = socket.write(text.chunk, 'latin1')
    if (!hasRoom) socket.once('drain', () => this.#events.resume())
    return hasRoom
  }

  end(reason: GatewayError | null): void {
    this.whenOver()
    if (reason) this.#response.write(textOf(reason).sse, 'latin1')
    complete(this.#response)
  }

  ping(): void {
    const isStuck = this.#response.socket?.writableNeedDrain || this.#response.writableNeedDrain
    this.#missedPings = isStuck ? this.#missedPings + 1 : 0
    if (this.#missedPings >= PATIENCE) this.#response.destroy()
    else if (!isStuck) this.#response.write(':\n\n')
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
