import type { IncomingMessage } from 'node:http'
import ipaddr from 'ipaddr.js'

/**
 * The address of the client, for limiting failed authentications: behind `trustedHops` proxies the one that the
 * outermost trusted proxy saw. An IPv6 client counts by its /64, which is what one subscriber is given.
 */
export function clientAddressOf(request: IncomingMessage, trustedHops: number): string {
  const forwarded = String(request.headers['x-forwarded-for'] ?? '')
    .split(',')
    .map((hop) => hop.trim())
    .filter(Boolean)
  const hops = [...forwarded, request.socket.remoteAddress ?? '']
  return networkOf(hops[Math.max(0, hops.length - 1 - trustedHops)] ?? '')
}

function networkOf(address: string): string {
  if (!ipaddr.isValid(address)) return 'unknown'
  const parsed = ipaddr.process(address)
  if (parsed.kind() === 'ipv4') return parsed.toString()
  return `${parsed.toByteArray().slice(0, 8).join('.')}/64`
}
