import type { IncomingMessage } from 'node:http'
import ipaddr from 'ipaddr.js'

/** Who a request is from, as far as limits go. */
export type Client = { readonly address: string }

/** The client of a request, whose address is worked out when it is asked for: most requests need none. */
export class RequestClient implements Client {
  readonly #request: IncomingMessage
  readonly #trustedHops: number

  constructor(request: IncomingMessage, trustedHops: number) {
    this.#request = request
    this.#trustedHops = trustedHops
  }

  get address(): string {
    return clientAddressOf(this.#request, this.#trustedHops)
  }
}

/**
 * The address of the client, for limiting failed authentications: behind `trustedHops` proxies the one that the
 * outermost trusted proxy saw. An IPv6 client counts by its /64, which is what one subscriber is given.
 */
export function clientAddressOf({ headers, socket }: IncomingMessage, trustedHops: number): string {
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
