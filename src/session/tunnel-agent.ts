import { type ClientRequest, type ClientRequestArgs, request as requestHttp } from 'node:http'
import { Agent, request as requestHttps } from 'node:https'
import { connect as connectTcp, isIP, type LookupFunction, type Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { type ConnectionOptions, connect as connectTls } from 'node:tls'
import { callbackify } from 'node:util'
import { publicLookup } from '../address-guard.ts'
import type { ProxyAddress } from './proxy-address.ts'

/** How long a proxy may take for a tunnel, from its name to its answer. */
const DEADLINE_MS = 10_000

/** The most that a proxy may say before the tunnel begins. */
const MAX_HEAD_BYTES = 16_384

/** The proxy could not be reached, refused, or could not reach the other side. */
export class ProxyFailed extends Error {
  constructor(cause: unknown) {
    super(`The proxy failed: ${(cause as Error).message}`, { cause })
    this.name = 'ProxyFailed'
  }
}

/** What a tunnel leads to; with TLS inside of it, also how that is to be spoken. */
export type Target = ConnectionOptions & { host: string; port: number; isSecure: boolean }

/** Node's type wants a socket even with an error. */
type Callback = (error: Error | null, socket: Duplex) => void

/** Connects through a proxy, and has no socket left once it is destroyed, not even one that the proxy never answers. */
export class TunnelAgent extends Agent {
  readonly #proxy: ProxyAddress
  readonly #allowPrivate: boolean
  readonly #deadlineMs: number
  readonly #closing = new AbortController()
  #waiting = 0

  constructor(proxy: ProxyAddress, allowPrivate: boolean, deadlineMs = DEADLINE_MS) {
    super()
    // Serves http: and https:, which Node would refuse to one agent.
    Object.assign(this, { protocol: undefined })
    this.#proxy = proxy
    this.#allowPrivate = allowPrivate
    this.#deadlineMs = deadlineMs
  }

  /** How many tunnels the proxy has been asked for and has not answered yet. */
  get waiting(): number {
    return this.#waiting
  }

  /** @throws ProxyFailed */
  async connect({ isSecure, ...target }: Target): Promise<Duplex> {
    this.#waiting++
    try {
      const socket = await this.#dial(target)
      if (!isSecure) return socket
      // What breaks below is told by the TLS above it.
      socket.on('error', () => {})
      return connectTls({ ...target, servername: target.servername ?? nameOf(target.host), socket })
    } catch (error) {
      throw new ProxyFailed(error)
    } finally {
      this.#waiting--
    }
  }

  /** Node's way to ask; whether TLS is wanted is known to the request alone. */
  addRequest(request: ClientRequest & { protocol: string }, options: ClientRequestArgs): void {
    const isSecure = request.protocol === 'https:'
    const { addRequest } = Agent.prototype as unknown as { addRequest(request: ClientRequest, options: object): void }
    addRequest.call(this, request, { ...options, isSecure })
  }

  override createConnection(options: object, callback?: Callback): undefined {
    // A path would be that of a socket in the file system.
    const { path: _path, port, ...target } = options as Target & { path?: string }
    // ws gives the port as a text.
    const connect = callbackify(() => this.connect({ ...target, port: Number(port) }))
    connect((error, socket) => callback?.(error, socket))
  }

  override destroy(): void {
    this.#closing.abort(new Error('its route has been closed'))
    super.destroy()
  }

  async #dial(target: { host: string; port: number }): Promise<Duplex> {
    const { signal } = this.#closing
    signal.throwIfAborted()
    const giveUp = new AbortController()
    const close = () => giveUp.abort(signal.reason)
    signal.addEventListener('abort', close)
    const timer = setTimeout(() => giveUp.abort(new Error('it did not answer in time')), this.#deadlineMs)
    try {
      const dial = this.#proxy.protocol === 'socks5' ? dialSocks : dialHttp
      const socket = await dial(this.#proxy, target, this.#allowPrivate ? undefined : publicLookup, giveUp.signal)
      if (!giveUp.signal.aborted) return socket
      socket.destroy()
      throw giveUp.signal.reason
    } finally {
      clearTimeout(timer)
      signal.removeEventListener('abort', close)
    }
  }
}

type Dial = (
  proxy: ProxyAddress,
  target: { host: string; port: number },
  lookup: LookupFunction | undefined,
  signal: AbortSignal,
) => Promise<Duplex>

/** Asks with CONNECT. Every answer but 200 is a refusal, and not the answer of the server behind it. */
const dialHttp: Dial = ({ protocol, host, port, username, password }, target, lookup, signal) =>
  new Promise((resolve, reject) => {
    const bare = bareHost(target.host)
    const authority = `${bare.includes(':') ? `[${bare}]` : bare}:${target.port}`
    const isAnonymous = username === null && password === null
    const credentials = Buffer.from(`${username ?? ''}:${password ?? ''}`).toString('base64')
    const request = (protocol === 'https' ? requestHttps : requestHttp)({
      method: 'CONNECT',
      agent: false,
      host,
      port,
      path: authority,
      headers: {
        host: authority,
        'proxy-connection': 'keep-alive',
        ...(!isAnonymous && { 'proxy-authorization': `Basic ${credentials}` }),
      },
      maxHeaderSize: MAX_HEAD_BYTES,
      ...(protocol === 'https' && { servername: nameOf(host) }),
      ...(lookup && { lookup }),
    })
    const giveUp = () => request.destroy(signal.reason as Error)
    signal.addEventListener('abort', giveUp)
    request.once('close', () => signal.removeEventListener('abort', giveUp))
    request.on('error', reject)
    request.once('connect', ({ statusCode }, socket, head) => {
      signal.removeEventListener('abort', giveUp)
      if (statusCode === 200) {
        if (head.length > 0) socket.unshift(head)
        resolve(socket)
      } else {
        socket.destroy()
        reject(new Error(`it answered HTTP ${statusCode}`))
      }
    })
    request.end()
  })

/** Asks with SOCKS 5, on a socket of our own. The proxy resolves the names behind it. */
const dialSocks: Dial = async ({ host, port, username, password }, target, lookup, signal) => {
  const { SocksClient } = await import('socks')
  signal.throwIfAborted()
  const socket = connectTcp({ host, port, ...(lookup && { lookup }) })
  const giveUp = () => socket.destroy(signal.reason as Error)
  signal.addEventListener('abort', giveUp)
  try {
    await connected(socket)
    await SocksClient.createConnection({
      command: 'connect',
      existing_socket: socket,
      proxy: { host, port, type: 5, ...(username !== null && { userId: username, password: password ?? '' }) },
      destination: { host: bareHost(target.host), port: target.port },
    })
    return socket
  } catch (error) {
    socket.destroy()
    throw error
  } finally {
    signal.removeEventListener('abort', giveUp)
  }
}

const connected = (socket: Socket): Promise<void> =>
  new Promise((resolve, reject) => {
    socket.once('error', reject)
    socket.once('connect', () => {
      socket.off('error', reject)
      resolve()
    })
  })

/** The name that TLS is told; an address is none. */
const nameOf = (host: string): string => (isIP(host) ? '' : host)

const bareHost = (host: string): string => host.replace(/^\[|\]$/g, '')
