import type { ServerResponse } from 'node:http'
import type { GatewayError } from '../errors.ts'
import type { Bytes } from '../http/bytes.ts'
import type { TokenWatch } from '../token/watch.ts'
import type { EventStream, Sink } from './event-stream.ts'
import { EventText } from './event-text.ts'
import { KeepAlive } from './keep-alive.ts'

/** A reader that has taken nothing for so many pings is cut off. */
const PATIENCE = 2
/** How long a reader may take to take the reason for which its stream ends. */
const ENDING_MS = 2_000
/** Bytes of texts that are sent at once. */
const PIECE_BYTES = 16_384

/** GraphQL over SSE, in distinct connections mode: a `next` for each text, then `complete`. */
export class SseReplies {
  readonly #tokenWatch: TokenWatch
  readonly #open: KeepAlive<SseStream>

  constructor(tokenWatch: TokenWatch, open = new KeepAlive<SseStream>()) {
    this.#tokenWatch = tokenWatch
    this.#open = open
  }

  /** Answers with a single result. */
  reply(response: ServerResponse, text: EventText): void {
    begin(response)
    response.write(text.sse, 'latin1')
    complete(response)
  }

  /**
   * Answers with a stream, from here to its end, which is that of its token at the latest. What it ends with is told in a
   * last `next`.
   * @throws GatewayError SERVICE_UNAVAILABLE when the gateway is stopping
   */
  stream(response: ServerResponse, events: EventStream, tokenId: string): void {
    // Its reader went away while the stream was opened.
    const { socket } = response.req
    if (response.destroyed || socket.destroyed) return events.close()
    try {
      this.#tokenWatch.hold(tokenId, events)
    } catch (refusal) {
      events.close()
      throw refusal
    }
    begin(response)
    const stream = new SseStream(response, events)
    this.#open.add(stream)
    const close = () => {
      socket.off('close', close)
      events.close()
      this.#tokenWatch.release(tokenId, events)
      this.#open.delete(stream)
    }
    response.on('close', close)
    // An answer that waits for one before it on its connection is not told when that breaks.
    socket.on('close', close)
    events.flow(stream)
  }
}

/** One open stream. */
class SseStream implements Sink {
  readonly #response: ServerResponse
  readonly #events: EventStream
  #added = ''
  #missedPings = 0

  constructor(response: ServerResponse, events: EventStream) {
    this.#response = response
    this.#events = events
  }

  add({ sse }: EventText): boolean {
    this.#added += sse
    return this.#added.length < PIECE_BYTES
  }

  flush(): boolean {
    if (this.#added === '') return true
    const events = this.#added as Bytes
    this.#added = ''
    const { socket, chunkedEncoding } = this.#response
    // Past Node's own framing, which would hand over four pieces. While an answer to an earlier request on the same
    // connection is awaited, there is no socket.
    const isOurs = socket !== null && chunkedEncoding
    const hasRoom = isOurs ? socket.write(chunkOf(events), 'latin1') : this.#response.write(events, 'latin1')
    if (!hasRoom) (isOurs ? socket : this.#response).once('drain', () => this.#events.resume())
    return hasRoom
  }

  end(reason: GatewayError | null): void {
    if (reason) this.#response.write(textOf(reason).sse, 'latin1')
    complete(this.#response)
    if (!reason) return
    const cutOff = setTimeout(() => this.#response.destroy(), ENDING_MS)
    this.#response.once('close', () => clearTimeout(cutOff))
  }

  ping(): void {
    if (this.#response.writableEnded) return
    const isStuck = this.#response.socket?.writableNeedDrain || this.#response.writableNeedDrain
    this.#missedPings = isStuck ? this.#missedPings + 1 : 0
    if (this.#missedPings >= PATIENCE) this.#response.destroy()
    else if (!isStuck) this.#response.write(':\n\n')
  }
}

function begin(response: ServerResponse): void {
  response.writeHead(200, { 'Content-Type': 'text/event-stream; charset=utf-8', 'X-Accel-Buffering': 'no' })
  // By itself, or Node keeps it in the forty pieces that it is put together from.
  response.flushHeaders()
  // Some browsers hand over nothing before the first byte.
  response.write(':\n\n')
}

/** A chunk of HTTP/1.1. */
const chunkOf = (bytes: Bytes): string => `${bytes.length.toString(16)}\r\n${bytes}\r\n`

const complete = (response: ServerResponse) => void response.end('event: complete\ndata:\n\n')

const textOf = ({ message, extensions }: GatewayError) =>
  new EventText(JSON.stringify({ errors: [{ message, extensions }] }))
