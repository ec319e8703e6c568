import type { Agent } from 'node:https'
import type { WebSocket } from 'ws'
import type { AuthenticationState, WASocket, WAVersion } from '@whiskeysockets/baileys'
import { loadBaileys } from './baileys.ts'
import type { SharedCaches } from './caches.ts'
import type { Close } from './disconnect.ts'
import type { ProxyRoute } from './proxy-route.ts'
import { ProxyFailed } from './proxy-route.ts'
import { quietLogger } from './quiet-logger.ts'
import type { Behaviour } from './behaviour.ts'

/** How long things may take, in milliseconds. Tests shorten them. */
export type LinkTimings = {
  /** From the start of an opening until it is logged in, or offers a code. */
  login: number
  /** Without any frame from WhatsApp, whose answers to pings come every 30 s. */
  silence: number
  /** How long the first code to scan lives. */
  firstQr: number
  /** How long each later code lives. Baileys has no setting for this one: it goes with the first where that is not its own. */
  nextQr: number
}
/** Baileys' own 60 s and 20 s for codes, and limits that leave room for a slow network. */
export const LINK_TIMINGS: LinkTimings = { login: 45_000, silence: 40_000, firstQr: 60_000, nextQr: 20_000 }

const CONNECT_TIMEOUT_MS = 20_000
const QUERY_TIMEOUT_MS = 15_000
const LOGOUT_TIMEOUT_MS = 10_000
/** After it has accepted a device WhatsApp asks for a restart; when it does not, one is made all the same. */
const RESTART_TIMEOUT_MS = 10_000
/** How long a closing handshake is waited for; without this it takes the ws package 30 s to give up. */
const TERMINATE_AFTER_MS = 500
/** When even that has brought no word of the end. */
const GIVE_UP_AFTER_MS = 3_000

export type LinkOptions = {
  url: string
  /** null: the one that Baileys was released with. */
  version: WAVersion | null
  auth: AuthenticationState
  behaviour: Behaviour
  route: ProxyRoute | null
  caches: SharedCaches
  timings: LinkTimings
  /** Whether this node may act for the instance at this moment; a promise while that is being asked. */
  mayRead(): boolean | Promise<boolean>
}

/** What a link tells. Nothing follows `onClose`, which comes exactly once. */
export type LinkEvents = {
  /** A code to scan, and until when it can be. */
  onQr(value: string, expiresAt: Date): void
  /** The phone has accepted the device; WhatsApp asks for a restart next. */
  onPaired(): void
  onOpen(): void
  onPresence(isOnline: boolean): void
  /** @param cause what the socket says of its end, for the log */
  onClose(close: Close, cause?: string): void
}

class LoginUnanswered extends Error {}
class RestartMissing extends Error {}
class Silent extends Error {}
class Undecryptable extends Error {}
class LeaseEnded extends Error {}
class HttpRefused extends Error {
  readonly status: number
  constructor(status: number) {
    super(`HTTP ${status}`)
    this.status = status
  }
}

/** One Baileys socket from its opening to its end, without the ways in which a stock one can hang or go deaf. */
export class Link {
  readonly socket: WASocket
  readonly #events: LinkEvents
  readonly #timings: LinkTimings
  readonly #timers = new Set<NodeJS.Timeout>()
  #lastFrameAt: Date | null = null
  /** The same on a clock that is never set back. */
  #heardAt = performance.now()
  /** When something came that was neither a ping nor an answer. */
  #toldAt = performance.now()
  #isPaired = false
  #isOpen = false
  #isOver = false
  #isEnding = false

  private constructor(socket: WASocket, { timings, mayRead }: LinkOptions, events: LinkEvents) {
    this.socket = socket
    this.#events = events
    this.#timings = timings
    this.#listen()
    this.#hastenClosing()
    this.#guardFrames(mayRead)
    this.#after(timings.login, () => {
      if (!this.#isOpen && this.#qrs === 0) this.end(new LoginUnanswered('The login was not answered'))
    })
  }

  static async open(options: LinkOptions, events: LinkEvents): Promise<Link> {
    const { auth, behaviour, route, caches } = options
    const { makeWASocket, Browsers } = await loadBaileys()
    const socket = makeWASocket({
      waWebSocketUrl: options.url,
      ...(options.version && { version: options.version }),
      auth,
      logger: quietLogger,
      browser: Browsers.ubuntu('Chrome'),
      connectTimeoutMs: CONNECT_TIMEOUT_MS,
      defaultQueryTimeoutMs: QUERY_TIMEOUT_MS,
      // Set, it holds for later codes as well.
      ...(options.timings.firstQr !== LINK_TIMINGS.firstQr && { qrTimeout: options.timings.firstQr }),
      markOnlineOnConnect: behaviour.keepOnline,
      syncFullHistory: behaviour.wantsHistory,
      shouldSyncHistoryMessage: ({ syncType }) => behaviour.takesHistory(syncType),
      shouldIgnoreJid: (jid) => behaviour.ignores(jid),
      generateHighQualityLinkPreview: false,
      // Nothing is sent again from here: messages are not kept.
      enableRecentMessageCache: false,
      ...caches,
      ...(route && {
        agent: route.agent as Agent,
        fetchAgent: route.agent as Agent,
        options: { dispatcher: route.dispatcher } as RequestInit,
      }),
    })
    return new Link(socket, options, events)
  }

  /** When the last frame from WhatsApp came; null before the first. */
  get lastFrameAt(): Date | null {
    return this.#lastFrameAt
  }

  /** Whether it has been silent for longer than its pings can explain. */
  get isSilent(): boolean {
    return this.#lastFrameAt !== null && performance.now() - this.#heardAt >= this.#timings.silence
  }

  /** How long WhatsApp has told nothing: messages, receipts and notifications count, pings and answers do not. */
  get quietMs(): number {
    return performance.now() - this.#toldAt
  }

  /** A code of 8 characters to type on the phone with this number. To be asked for after the first QR only. */
  requestPairingCode(phoneNumber: string): Promise<string> {
    return this.socket.requestPairingCode(phoneNumber)
  }

  /**
   * Ends the pairing at WhatsApp; true when WhatsApp has said so. Baileys' own logout does not wait for an answer, and a
   * phone that was not told would go on listing the device.
   */
  async logOut(): Promise<boolean> {
    const { socket } = this
    const jid = socket.authState.creds.me?.id
    if (!jid) return false
    const answer = await socket.query(
      {
        tag: 'iq',
        attrs: { to: 's.whatsapp.net', type: 'set', id: socket.generateMessageTag(), xmlns: 'md' },
        content: [{ tag: 'remove-companion-device', attrs: { jid, reason: 'user_initiated' } }],
      },
      LOGOUT_TIMEOUT_MS,
    )
    return answer?.attrs?.type === 'result'
  }

  /** Ends the link; `onClose` follows soon. */
  end(error?: Error): void {
    if (this.#isOver) return
    this.#isEnding = true
    void this.socket.end(error)
    this.#after(GIVE_UP_AFTER_MS, () => this.#close({ kind: 'broken' }))
  }

  /** Ends it for being silent, as the watch would. */
  endSilent(): void {
    this.end(new Silent('Nothing was heard for too long'))
    // A vanished network answers no closing handshake.
    this.#webSocket?.terminate()
  }

  #qrs = 0

  #listen(): void {
    const { socket } = this
    socket.ws.on('frame', (frame: { tag?: string }) => {
      this.#lastFrameAt = new Date()
      this.#heardAt = performance.now()
      if (frame.tag !== 'iq') this.#toldAt = this.#heardAt
    })
    // Baileys hears of no answer but 101, and waits for ever.
    socket.ws.on('unexpected-response', (_request: unknown, response: { statusCode: number }) =>
      this.end(new HttpRefused(response.statusCode)),
    )
    socket.ev.on('connection.update', ({ connection, qr, isNewLogin, isOnline, lastDisconnect }) => {
      if (this.#isOver) return
      // Baileys goes on drawing codes after one was used.
      if (qr && !this.#isPaired) this.#offer(qr)
      if (isNewLogin) this.#paired()
      if (connection === 'open') this.#opened()
      if (isOnline !== undefined) this.#events.onPresence(isOnline)
      if (connection === 'close') {
        const { error } = lastDisconnect ?? {}
        this.#close(describeEnd(error, this.#isPaired), error?.message)
      }
    })
  }

  #offer(qr: string): void {
    this.#qrs++
    const { firstQr, nextQr } = this.#timings
    this.#events.onQr(qr, new Date(Date.now() + (this.#qrs === 1 ? firstQr : nextQr)))
  }

  #paired(): void {
    this.#isPaired = true
    this.#after(RESTART_TIMEOUT_MS, () => this.end(new RestartMissing('No restart was asked for after the pairing')))
    this.#events.onPaired()
  }

  #opened(): void {
    this.#isOpen = true
    this.#watchSilence()
    this.#events.onOpen()
  }

  /** A frame moves the moment, not the timer: thousands of sessions have one each, which mostly finds nothing. */
  #watchSilence(): void {
    if (this.isSilent) return this.endSilent()
    this.#after(this.#heardAt + this.#timings.silence - performance.now(), () => this.#watchSilence())
  }

  /** Every end goes through the client's `close`, which waits for the other side. */
  #hastenClosing(): void {
    const { ws } = this.socket
    const close = ws.close.bind(ws)
    ws.close = () => {
      this.#after(TERMINATE_AFTER_MS, () => this.#webSocket?.terminate())
      return close()
    }
  }

  /**
   * A node whose lease has ended takes no frame: another one may be reading them. And Baileys leaves a frame that it
   * cannot decrypt as an unhandled rejection, and is deaf from then on.
   */
  #guardFrames(mayRead: LinkOptions['mayRead']): void {
    const { ws } = this.socket
    for (const listener of ws.listeners('message')) {
      const take = (data: unknown, mayBeRead: boolean) => {
        // One that was held while the end began could not be answered any more.
        if (this.#isOver || this.#isEnding) return
        if (!mayBeRead) return this.end(new LeaseEnded('The lease on the sessions has ended'))
        Promise.resolve(listener(data)).catch((error) =>
          this.end(new Undecryptable('A frame could not be read', { cause: error })),
        )
      }
      /** The frames that wait, behind which those wait that come next. */
      let held: Promise<void> | null = null
      ws.off('message', listener as never)
      ws.on('message', (data: unknown) => {
        const mayBeRead = held ? held.then(mayRead) : mayRead()
        if (typeof mayBeRead === 'boolean') return take(data, mayBeRead)
        const waiting = mayBeRead
          .then((isSo) => take(data, isSo))
          .finally(() => {
            if (held === waiting) held = null
          })
        held = waiting
      })
    }
  }

  get #webSocket(): WebSocket | null {
    return (this.socket.ws as unknown as { socket: WebSocket | null }).socket
  }

  #close(close: Close, cause?: string): void {
    if (this.#isOver) return
    this.#isOver = true
    for (const timer of this.#timers) clearTimeout(timer)
    this.#timers.clear()
    this.#events.onClose(close, cause)
  }

  #after(ms: number, work: () => void): void {
    if (this.#isOver) return
    const timer = setTimeout(
      () => {
        this.#timers.delete(timer)
        work()
      },
      Math.max(0, ms),
    )
    this.#timers.add(timer)
  }
}

const CODES_USED_UP = 'QR refs attempts ended'

/** How a socket ended, from the error that Baileys gives: its own, one of ours, or one of the transport inside its own. */
function describeEnd(error: unknown, wasJustPaired: boolean): Close {
  const { data, message, output } = (error ?? {}) as {
    data?: unknown
    message?: string
    output?: { statusCode?: number }
  }
  const cause = [error, data].find(
    (candidate) =>
      candidate instanceof ProxyFailed ||
      candidate instanceof HttpRefused ||
      candidate instanceof Silent ||
      candidate instanceof LoginUnanswered,
  )
  if (cause instanceof ProxyFailed) return { kind: 'proxy' }
  if (cause instanceof HttpRefused) return { kind: 'http', status: cause.status }
  if (cause instanceof Silent) return { kind: 'silent' }
  if (cause instanceof LoginUnanswered) return { kind: 'login unanswered' }
  const code = output?.statusCode
  if (wasJustPaired && (error instanceof RestartMissing || message === CODES_USED_UP))
    return { kind: 'told', code: 515 }
  if (code === undefined) return { kind: 'broken' }
  if (message === CODES_USED_UP) return { kind: 'codes used up' }
  if (message && /account signature|pair success/.test(message)) return { kind: 'pairing refused' }
  if (isTold(data, code)) return { kind: 'told', code }
  return { kind: 'transport', code }
}

/**
 * Whether a code is WhatsApp's word: it comes with the node that said it, or from Baileys' own look at what was said. A
 * transport's error brings a code, too (a proxy's 401, say), and that is no logout.
 */
const isTold = (data: unknown, code: number): boolean =>
  typeof data === 'object' && data !== null ? !(data instanceof Error) : code === 400 || code === 411
