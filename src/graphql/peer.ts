import type { Duplex } from 'node:stream'
import { CloseCode, type WebSocket as ProtocolSocket } from 'graphql-ws'
import type { WebSocket } from 'ws'
import type { GatewayError } from '../errors.ts'
import { presentFailure } from '../failure.ts'
import { type Bytes, compact } from '../http/bytes.ts'
import type { Client } from '../http/client-address.ts'
import type { Logger } from '../logger.ts'
import type { LiveToken } from '../token/queries.ts'

/** Close codes of RFC 6455; clients try again after them. */
export const SERVICE_RESTART = 1012
const TRY_AGAIN_LATER = 1013

/** Frames that may wait for a client that does not read; each operation waits for its own, so an honest one has a few. */
const MAX_WAITING_FRAMES = 100
/** How long a client may take to answer that the connection closes. */
const CLOSE_MS = 2_000

/** What sends frames, and is told when there is room for more. */
export type Writer = { resume(): void }

/**
 * One WebSocket connection, which never keeps more than a few frames for a client that does not read them. There are tens
 * of thousands, mostly idle: it keeps what it needs and not the request that it began with.
 */
export class Peer implements ProtocolSocket {
  readonly client: Client
  readonly requestId: string
  /** The token as it was sent; null until `connection_init` brings it. */
  sentToken: string | null
  /** What the token was when it let the connection in; null until then. */
  token: LiveToken | null = null
  readonly #socket: WebSocket
  readonly #stream: Duplex
  readonly #logger: Logger
  #waiting = 0
  #hasAnswered = true
  /** Who has to be told when there is room again; null: nobody waits. */
  #withoutRoom: Set<Writer> | null = null

  /** @param stream what the WebSocket's frames are written to */
  constructor(
    socket: WebSocket,
    stream: Duplex,
    { client, requestId, sentToken }: Pick<Peer, 'client' | 'requestId' | 'sentToken'>,
    logger: Logger,
  ) {
    this.#socket = socket
    this.#stream = stream
    this.#logger = logger
    this.client = client
    this.requestId = compact(requestId)
    // What was cut out of a longer text keeps all of it.
    this.sentToken = sentToken && compact(sentToken)
    // Breaches of the protocol; the connection closes by itself.
    socket.on('error', (error) => logger.debug({ requestId: this.requestId, err: error }, 'a websocket broke'))
    socket.on('ping', (data) => void this.#queue((done) => socket.pong(data, false, done)))
    socket.on('pong', () => {
      this.#hasAnswered = true
    })
  }

  get protocol(): string {
    return this.#socket.protocol
  }

  get isOpen(): boolean {
    return this.#socket.readyState === this.#socket.OPEN
  }

  /** Frames that were not handed to the network yet, and streams that wait for it. */
  get waiting(): number {
    return this.#waiting + (this.#withoutRoom?.size ?? 0)
  }

  onMessage(listener: (text: string) => Promise<void>): void {
    this.#socket.on('message', (data) => {
      if (this.isOpen) listener(String(data)).catch((failure) => this.fail(failure))
    })
  }

  onClose(listener: (code: number, reason: string) => void): void {
    this.#socket.on('close', (code, reason) => listener(code, String(reason)))
  }

  /** Sends a text; resolves when it was handed to the network, or never will be. */
  send(text: string): Promise<void> {
    return this.#queue((done) => this.#socket.send(text, { binary: false }, done))
  }

  /**
   * Sends frames past ws, which would write each in two pieces and tell when it is through.
   * @param writer told when there is room again, once, if there is none left
   * @returns whether there is
   */
  sendFrames(frames: Bytes, writer: Writer): boolean {
    if (!this.isOpen) return true
    if (frames !== '') this.#stream.write(frames, 'latin1')
    if (!this.#stream.writableNeedDrain) return true
    if (!this.#withoutRoom) {
      this.#withoutRoom = new Set()
      this.#stream.once('drain', () => this.#tellOfRoom())
    }
    this.#withoutRoom.add(writer)
    return false
  }

  /** One that has not answered the ping before, because it is gone or reads nothing, is cut off. */
  ping(): void {
    if (!this.#hasAnswered) return this.#socket.terminate()
    this.#hasAnswered = false
    this.#socket.ping()
  }

  /** Closes with a code; a client that does not answer in time is cut off. */
  close(code?: number, reason?: string): void {
    if (this.#socket.readyState === this.#socket.CLOSED) return
    this.#socket.close(code, reason)
    const cutOff = setTimeout(() => this.#socket.terminate(), CLOSE_MS)
    this.#socket.once('close', () => clearTimeout(cutOff))
  }

  /** Closes for a reason: to come back when something is away, for good otherwise. */
  end({ code, message }: GatewayError): void {
    if (code === 'SERVICE_UNAVAILABLE') return this.close(TRY_AGAIN_LATER, message)
    this.close(code === 'INTERNAL_SERVER_ERROR' ? CloseCode.InternalServerError : CloseCode.Unauthorized, message)
  }

  /** Closes because of something that was thrown, which is logged if it is of our own making. */
  fail(failure: unknown): void {
    this.end(presentFailure(failure, this.requestId, this.#logger))
  }

  #tellOfRoom(): void {
    const waiting = this.#withoutRoom ?? []
    this.#withoutRoom = null
    for (const writer of waiting) writer.resume()
  }

  async #queue(send: (done: () => void) => void): Promise<void> {
    if (this.isOpen && this.#waiting >= MAX_WAITING_FRAMES) this.#socket.terminate()
    if (!this.isOpen) return
    this.#waiting++
    await new Promise<void>((resolve) => send(resolve))
    this.#waiting--
  }
}
