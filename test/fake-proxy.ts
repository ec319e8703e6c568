import { once } from 'node:events'
import { createServer as createHttpServer } from 'node:http'
import { createServer as createHttpsServer } from 'node:https'
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { createSelfSigned } from './self-signed.ts'

export type Credentials = { username: string; password: string }

export type FakeProxy = {
  protocol: 'http' | 'https' | 'socks5'
  port: number
  /** Its address, without credentials. */
  url: string
  /** The certificate to trust (PEM), where it speaks TLS. */
  ca: string | null
  /** What it was asked to connect to, "host:port", and by whom, in order; also what it refused. */
  requests: { target: string; username: string | null; isAccepted: boolean }[]
  /** How many tunnels there are now. */
  tunnels(): number
  /** How many connections clients have to it now. */
  connections(): number
  /**
   * Answers every request with this from now on; null: as it should; 'nothing': never.
   * SOCKS has numbers of its own (1: failure, 2: not allowed).
   */
  answerWith(status: number | 'nothing' | null): void
  /** Stops listening and breaks all tunnels. */
  refuse(): Promise<void>
  /** Listens again, on the same port. */
  accept(): Promise<void>
  close(): Promise<void>
}

type Options = {
  /** Who may use it; nobody is asked when this is left out. */
  credentials?: Credentials
}

type Target = { host: string; port: number }

const LOOPBACK = new Set(['127.0.0.1', 'localhost', '::1'])

/** What all proxies have in common: the record, the tunnels, the listening. */
class Tunnels {
  readonly requests: FakeProxy['requests'] = []
  status: number | 'nothing' | null = null
  readonly #sockets = new Set<Duplex>()
  #count = 0

  get count(): number {
    return this.#count
  }

  track(socket: Duplex): void {
    this.#sockets.add(socket)
    socket.once('close', () => this.#sockets.delete(socket))
    // A broken connection is closed as well, and that is all there is to know.
    socket.on('error', () => {})
  }

  note({ host, port }: Target, username: string | null, isAccepted: boolean): void {
    this.requests.push({ target: `${host}:${port}`, username, isAccepted })
  }

  /** Joins a client with what it asked for. Nothing outside this machine is ever reached. */
  open(client: Duplex, { host, port }: Target, answer: (isOpen: boolean) => void): void {
    if (!LOOPBACK.has(host)) {
      answer(false)
      return
    }
    const upstream = connect(port, host)
    this.track(upstream)
    let isOpen = false
    upstream.once('connect', () => {
      isOpen = true
      this.#count += 1
      answer(true)
      client.pipe(upstream).pipe(client)
    })
    upstream.once('close', () => {
      if (isOpen) this.#count -= 1
      else answer(false)
      client.destroy()
    })
    client.once('close', () => upstream.destroy())
  }

  breakAll(): void {
    for (const socket of this.#sockets) socket.destroy()
  }
}

async function listen(server: Server, tunnels: Tunnels, protocol: FakeProxy['protocol'], ca: string | null) {
  let port = 0
  const accept = async () => {
    if (server.listening) return
    server.listen(port, '127.0.0.1')
    await once(server, 'listening')
    port = (server.address() as AddressInfo).port
  }
  const refuse = async () => {
    tunnels.breakAll()
    if (!server.listening) return
    const closed = once(server, 'close')
    server.close()
    await closed
  }
  let connections = 0
  server.on('connection', (socket: Socket) => {
    tunnels.track(socket)
    connections += 1
    socket.once('close', () => (connections -= 1))
  })
  await accept()
  return {
    protocol,
    port,
    url: `${protocol}://127.0.0.1:${port}`,
    ca,
    requests: tunnels.requests,
    tunnels: () => tunnels.count,
    connections: () => connections,
    answerWith: (status) => {
      tunnels.status = status
    },
    refuse,
    accept,
    close: refuse,
  } satisfies FakeProxy
}

/** A proxy that tunnels with HTTP's CONNECT; with `tls` it is itself spoken to over TLS. */
export async function startHttpProxy({
  credentials,
  tls = false,
}: Options & { tls?: boolean } = {}): Promise<FakeProxy> {
  const tunnels = new Tunnels()
  const selfSigned = tls ? createSelfSigned() : null
  const server = selfSigned ? createHttpsServer(selfSigned) : createHttpServer()

  server.on('connect', (request, client: Duplex, head: Buffer) => {
    tunnels.track(client)
    const at = (request.url ?? '').lastIndexOf(':')
    const target = { host: request.url?.slice(0, at) ?? '', port: Number(request.url?.slice(at + 1)) }
    const given = readBasic(request.headers['proxy-authorization'])
    const refused = tunnels.status ?? (isAllowed(credentials, given) ? null : 407)
    tunnels.note(target, given?.username ?? null, refused === null)
    if (refused === 'nothing') return hearOut(client)
    if (refused !== null) {
      client.end(
        `HTTP/1.1 ${refused} Refused\r\nproxy-authenticate: Basic realm="fake"\r\ncontent-length: 0\r\nconnection: close\r\n\r\n`,
      )
      return
    }
    client.unshift(head)
    tunnels.open(client, target, (isOpen) =>
      isOpen ? client.write('HTTP/1.1 200 Connected\r\n\r\n') : client.end('HTTP/1.1 502 Unreachable\r\n\r\n'),
    )
  })
  return listen(server, tunnels, tls ? 'https' : 'http', selfSigned?.cert ?? null)
}

/** Nothing is answered, but a client that goes is noticed. */
const hearOut = (client: Duplex): void => void client.resume().once('end', () => client.destroy())

function readBasic(header: string | undefined): Credentials | null {
  const encoded = /^Basic (.+)$/i.exec(header ?? '')?.[1]
  if (!encoded) return null
  const text = Buffer.from(encoded, 'base64').toString()
  const at = text.indexOf(':')
  return { username: text.slice(0, at), password: text.slice(at + 1) }
}

const isAllowed = (wanted: Credentials | undefined, given: Credentials | null): boolean =>
  !wanted || (given?.username === wanted.username && given.password === wanted.password)

const SOCKS = 5
const NO_AUTHENTICATION = 0
const BY_PASSWORD = 2
const NO_METHOD = 0xff
const CONNECT = 1

/** A SOCKS5 proxy, with or without a password. */
export function startSocksProxy({ credentials }: Options = {}): Promise<FakeProxy> {
  const tunnels = new Tunnels()
  const server = createServer((client) => {
    converse(client, tunnels, credentials).catch(() => client.destroy())
  })
  return listen(server, tunnels, 'socks5', null)
}

async function converse(client: Socket, tunnels: Tunnels, credentials: Credentials | undefined): Promise<void> {
  const read = (length: number) => readExactly(client, length)
  const readSized = async () => read((await read(1)).readUInt8())

  await read(1)
  const methods = await readSized()
  const method = credentials ? BY_PASSWORD : NO_AUTHENTICATION
  if (!methods.includes(method)) {
    client.end(Buffer.from([SOCKS, NO_METHOD]))
    return
  }
  client.write(Buffer.from([SOCKS, method]))

  let username: string | null = null
  if (credentials) {
    await read(1)
    username = String(await readSized())
    const isRight = isAllowed(credentials, { username, password: String(await readSized()) })
    client.write(Buffer.from([1, isRight ? 0 : 1]))
    if (!isRight) {
      tunnels.note({ host: '?', port: 0 }, username, false)
      client.end()
      return
    }
  }

  const [, command, , kind] = await read(4)
  let host: string
  if (kind === 1) host = [...(await read(4))].join('.')
  else if (kind === 3) host = String(await readSized())
  else host = (await read(16)).equals(Buffer.concat([Buffer.alloc(15), Buffer.from([1])])) ? '::1' : 'elsewhere'
  const target = { host, port: (await read(2)).readUInt16BE() }

  const reply = (status: number) => Buffer.from([SOCKS, status, 0, 1, 0, 0, 0, 0, 0, 0])
  const refused = tunnels.status ?? (command === CONNECT ? null : 7)
  tunnels.note(target, username, refused === null)
  if (refused === 'nothing') return hearOut(client)
  if (refused !== null) {
    client.end(reply(refused))
    return
  }
  tunnels.open(client, target, (isOpen) => (isOpen ? client.write(reply(0)) : client.end(reply(4))))
}

async function readExactly(socket: Socket, length: number): Promise<Buffer> {
  if (length === 0) return Buffer.alloc(0)
  for (;;) {
    const bytes = socket.read(length) as Buffer | null
    if (bytes) return bytes
    if (socket.destroyed || socket.readableEnded) throw new Error('The client went away')
    const waiting = new AbortController()
    await Promise.race((['readable', 'close'] as const).map((event) => once(socket, event, waiting)))
    // The listener that has waited in vain goes.
    waiting.abort()
  }
}
