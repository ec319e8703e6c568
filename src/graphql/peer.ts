import type { IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import { CloseCode } from 'graphql-ws'
import type { WebSocket } from 'ws'
import { presentFailure } from '../failure.ts'
import type { Bytes } from '../http/bytes.ts'
import type { Logger } from '../logger.ts'
import type { LiveToken } from '../token/queries.ts'

/** Frames that may wait for a client that does not read; each operation waits for its own, so an honest one has a few. */
const MAX_WAITING_FRAMES = 100
/** How long a client may take to answer that the connection closes. */
const CLOSE_MS = 2_000

/** One WebSocket connection, which never keeps more than a few frames for a client that does not read them. */
export class Peer {
  readonly request: IncomingMessage
  readonly requestId: string
  /** The token as it was sent; null until `connection_init` brings it. */
  sentToken: string | null
  /** What the token was when it let the connection in; null until then. */
  token: LiveToken | null = null
  readonly #socket: WebSocket
  readonly #stream: Duplex
  #waiting = 0
  /** Streams that have to be told when there is room again. */
  readonly #withoutRoom = new Set<() => void>()

  /** @param stream what the WebSocket's frames are written to */
  constructor(
    socket: WebSocket,
    stream: Duplex,
    { request, requestId, sentToken }: Pick<Peer, 'request' | 'requestId' | 'sentToken'>,
  ) {
    this.#socket = socket
    this.#stream = stream
    this.request = request
    this.requestId = requestId
    this.sentToken = sentToken
    socket.on('ping', (data) => this.#queue((done) => socket.pong(data, false, done), nothing))
  }

  get isOpen(): boolean {
    return this.#socket.readyState === this.#socket.OPEN
  }

  /** Frames that were not handed to the network yet, and streams that wait for it. */
  get waiting(): number {
    return this.#waiting + this.#withoutRoom.size
  }

  /** Sends a text; `sent` is called when it was handed to the network, or never will be. */
  send(text: string, sent: () => void = nothing): void {
    this.#queue((done) => this.#socket.send(text, { binary: false }, done), sent)
  }

  /**
   * Sends frames past ws, which would write each in two pieces and tell when it is through.
   * @param resume called when there is room again, once, if there is none left
   * @returns whether there is
   */
  sendFrames(frames: Bytes, resume: () => void): boolean {
    if (!this.isOpen) return true
    if (frames !== '') this.#stream.write(frames, 'latin1')
    if (!this.#stream.writableNeedDrain) return true
    if (this.#withoutRoom.size === 0) this.#stream.once('drain', () => this.#tellOfRoom())
    this.#withoutRoom.add(resume)
    return false
  }

  /** Closes with a code; a client that does not answer in time is cut off. */
  close(code: number, reason: string): void {
    this.#socket.close(code, reason)
    const cutOff = setTimeout(() => this.#socket.terminate(), CLOSE_MS)
    this.#socket.once('close', () => clearTimeout(cutOff))
  }

  /** Something of ours went wrong: logged, and closed. */
  fail(failure: unknown, logger: Logger): void {
    const { message } = presentFailure(failure, this.requestId, logger)
    this.close(CloseCode.InternalServerError, message)
  }

  whenClosed(listener: () => void): void {
    this.#socket.once('close', listener)
  }

  #tellOfRoom(): void {
    const waiting = [...this.#withoutRoom]
    this.#withoutRoom.clear()
    for (const resume of waiting) resume()
  }

  #queue(send: (done: () => void) => void, sent: () => void): void {
    if (this.isOpen && this.#waiting >= MAX_WAITING_FRAMES) this.#socket.terminate()
    if (!this.isOpen) return sent()
    this.#waiting++
    send(() => {
      this.#waiting--
      sent()
    })
  }
}

const nothing = () => {}
