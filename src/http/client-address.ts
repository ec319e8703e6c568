import type { IncomingHttpHeaders, IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import ipaddr from 'ipaddr.js'

/** What tells the address of a client: a request, or what is kept of one. */
export type Client = { headers: IncomingHttpHeaders; socket: Pick<Socket, 'remoteAddress'> }

/** The client of a request, without the rest of it. */
export const clientOf = ({ headers, socket }: IncomingMessage): Client => ({
  headers: { 'x-forwarded-for': headers['x-forwarded-for'] },
  socket,
})

/**
 * The address of the client, for limiting failed authentications: behind `trustedHops` proxies the one that the
 * outermost trusted proxy saw. An IPv6 client counts by its /64, which is what one subscriber is given.
 */
export function clientAddressOf({ headers, socket }: Client, trustedHops: number): string {
  const forwarded = String(headers['x-forwarded-for'] ?? '')
    .split(',')
    .map((hop) => hop.trim())
    .filter(Boolean)
  const hops = [...forwarded, socket.remoteAddress ?? '']
  return networkOf(hops[Math.max(0, hops.length - 1 - trustedHops)] ?? '')
}

function networkOf(address: string): string {
  if (!ipaddr.isValid(address)) return 'unknown'
  const parsed = ipaddr.process(address)
  if (parsed.kind() === 'ipv4') return parsed.toString()
  return `${parsed.toByteArray().slice(0, 8).join('.')}/64`
}
