import type { Agent } from 'node:http'
import { callbackify } from 'node:util'
import type { Dispatcher } from 'undici'
import { isPublicHost } from '../address-guard.ts'
import type { ProxyAddress } from './proxy-address.ts'
import { ProxyFailed, TunnelAgent } from './tunnel-agent.ts'

export { ProxyFailed }

/** The way through an instance's proxy, for the WebSocket, for uploads and for downloads. */
export type ProxyRoute = {
  agent: Agent
  dispatcher: Dispatcher
  /** Whether the proxy is being asked and has not answered yet. */
  isWaiting(): boolean
  /** Ends what the proxy is being asked, and what goes through it by request. */
  close(): void
}

/**
 * @param deadlineMs how long the proxy may take for each tunnel
 * @throws ProxyFailed for an address that may not be connected to
 */
export async function routeThrough(
  proxy: ProxyAddress,
  allowPrivate: boolean,
  deadlineMs?: number,
): Promise<ProxyRoute> {
  if (!allowPrivate && !isPublicHost(proxy.host)) throw new ProxyFailed(new Error('its address is not a public one'))
  const agent = new TunnelAgent(proxy, allowPrivate, deadlineMs)
  const { Agent: Undici } = (await import('undici')).default
  // undici has requests of another kind than Node's: it is given the tunnels alone.
  const open = ({ hostname, port, protocol, servername }: UndiciTarget) => {
    const isSecure = protocol === 'https:'
    return agent.connect({
      host: hostname,
      port: Number(port) || (isSecure ? 443 : 80),
      isSecure,
      ...(servername && { servername }),
    })
  }
  const dispatcher = new Undici({ connect: callbackify(open) as never })
  return {
    agent,
    dispatcher,
    isWaiting: () => agent.waiting > 0,
    close: () => {
      agent.destroy()
      void dispatcher.destroy()
    },
  }
}

/** What undici wants to be connected to. */
type UndiciTarget = { hostname: string; port: string; protocol: string; servername?: string }
