import { EventEmitter } from 'node:events'
import type { Agent as HttpAgent, ClientRequest } from 'node:http'
import type { Duplex } from 'node:stream'
import { callbackify } from 'node:util'
import type { Dispatcher } from 'undici'
import { isPublicHost, publicLookup } from '../address-guard.ts'
import type { ProxyAddress } from './proxy-address.ts'

/** The proxy could not be reached, refused, or could not reach the other side. */
export class ProxyFailed extends Error {
  constructor(cause: unknown) {
    super(`The proxy failed: ${(cause as Error).message}`, { cause })
    this.name = 'ProxyFailed'
  }
}

/** The way through an instance's proxy, for the WebSocket, for uploads and for downloads. */
export type ProxyRoute = {
  agent: HttpAgent
  dispatcher: Dispatcher
  /** Whether the proxy is being asked and has not answered yet. */
  isWaiting(): boolean
  close(): void
}

/** What both kinds of agents have in common. */
type ConnectOptions = { host: string; port: number; secureEndpoint: boolean; servername?: string }
type TunnelAgent = HttpAgent & { connect(request: ClientRequest, options: ConnectOptions): Promise<Duplex> }

/** @throws ProxyFailed for an address that may not be connected to */
export async function routeThrough(proxy: ProxyAddress, allowPrivate: boolean): Promise<ProxyRoute> {
  if (!allowPrivate && !isPublicHost(proxy.host)) throw new ProxyFailed(new Error('its address is not a public one'))
  const agent = await createAgent(proxy, allowPrivate)
  let waiting = 0
  const connect = agent.connect.bind(agent)
  agent.connect = async (request, options) => {
    waiting++
    try {
      return await tunnel(connect, request, options)
    } catch (error) {
      throw new ProxyFailed(error)
    } finally {
      waiting--
    }
  }
  const { Agent } = (await import('undici')).default
  const dispatcher = new Agent({
    connect: callbackify((options: Target) => connectThrough(agent, options)) as never,
  })
  return {
    agent,
    dispatcher,
    isWaiting: () => waiting > 0,
    close: () => {
      agent.destroy()
      void dispatcher.destroy()
    },
  }
}

/** What undici wants to be connected to. */
type Target = { hostname: string; port: string; protocol: string; servername?: string }

/** The same tunnel for undici, which has requests of another kind than Node's. */
async function connectThrough(agent: TunnelAgent, { hostname, port, protocol, servername }: Target): Promise<Duplex> {
  const secureEndpoint = protocol === 'https:'
  const request = new EventEmitter() as ClientRequest
  const socket = await agent.connect(request, {
    host: hostname,
    port: Number(port) || (secureEndpoint ? 443 : 80),
    secureEndpoint,
    ...(servername && { servername }),
  })
  request.emit('socket', socket)
  return socket
}

async function createAgent(proxy: ProxyAddress, allowPrivate: boolean): Promise<TunnelAgent> {
  const url = addressOf(proxy)
  // The name is resolved once, and what it leads to is looked at before it is connected to.
  const guard = allowPrivate ? {} : { lookup: publicLookup }
  if (proxy.protocol === 'socks5') {
    const { SocksProxyAgent } = await import('socks-proxy-agent')
    return new SocksProxyAgent(url, { socketOptions: guard as never }) as unknown as TunnelAgent
  }
  const { HttpsProxyAgent } = await import('https-proxy-agent')
  return new HttpsProxyAgent(url, guard) as unknown as TunnelAgent
}

function addressOf({ protocol, host, port, username, password }: ProxyAddress): URL {
  // socks5h: the proxy resolves the names behind it.
  const scheme = protocol === 'socks5' ? 'socks5h' : protocol
  const url = new URL(`${scheme}://${host.includes(':') ? `[${host}]` : host}:${port}`)
  url.username = encodeURIComponent(username ?? '')
  url.password = encodeURIComponent(password ?? '')
  return url
}

/** An HTTP proxy's refusal would be taken for the answer of the server behind it. */
async function tunnel(
  connect: TunnelAgent['connect'],
  request: ClientRequest,
  options: ConnectOptions,
): Promise<Duplex> {
  let status = 200
  const note = (response: { statusCode: number }) => {
    status = response.statusCode
  }
  request.once('proxyConnect' as never, note as never)
  const socket = await connect(request, options)
  request.off('proxyConnect' as never, note as never)
  if (status === 200) return socket
  socket.destroy()
  throw new Error(`it answered HTTP ${status}`)
}
