import { lookup } from 'node:dns'
import type { LookupFunction } from 'node:net'
import ipaddr from 'ipaddr.js'

/** Names that mean this machine or its network, whatever they resolve to. */
const PRIVATE_NAME = /(^|\.)(localhost|localdomain|local|internal|intranet|lan|svc|onion|invalid|home\.arpa)$/

/** Two labels at least, as names on the internet have. */
const PUBLIC_NAME = /^(?=.{1,253}$)([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?\.)+[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/

/** All of IPv6 that is given out for public use; an IPv4 address in other clothes lies outside. */
const GLOBAL_IPV6: [ipaddr.IPv6, number] = [ipaddr.IPv6.parse('2000::'), 3]

/**
 * Whether a host, as a WHATWG URL writes it, may be connected to from here: false for every literal that is not a public
 * unicast address, in whatever form it was written, and for names that only a private network knows. Where another name
 * leads is not asked here: whoever connects has to look at the address.
 */
export function isPublicHost(hostname: string): boolean {
  const host = hostname
    .replace(/^\[|\]$/g, '')
    .replace(/\.+$/, '')
    .toLowerCase()
  if (host === '' || PRIVATE_NAME.test(host)) return false
  if (!ipaddr.isValid(host)) return PUBLIC_NAME.test(host)
  const address = ipaddr.parse(host)
  return address.range() === 'unicast' && (address.kind() === 'ipv4' || address.match(GLOBAL_IPV6))
}

/**
 * A host name or address as a URL would write it (decimal and hexadecimal forms of an address become dotted), or null
 * when it is none.
 */
export function normaliseHost(host: string): string | null {
  const isIpv6 = host.includes(':')
  if (isIpv6 ? !ipaddr.IPv6.isValid(host.replace(/^\[|\]$/g, '')) : /[^\p{L}\p{N}.-]/u.test(host)) return null
  const text = `http://${isIpv6 && !host.startsWith('[') ? `[${host}]` : host}/`
  if (!URL.canParse(text)) return null
  return new URL(text).hostname.replace(/^\[|\]$/g, '') || null
}

/**
 * Resolves names like `dns.lookup` for `net.connect`, and gives out public addresses only: what was looked at is what is
 * connected to, so that a name cannot lead elsewhere the second time it is asked.
 */
export const publicLookup: LookupFunction = (hostname, options, callback) => {
  lookup(hostname, { ...options, all: true }, (error, addresses) => {
    if (error) return callback(error, '', 0)
    const allowed = addresses.filter(({ address }) => isPublicHost(address))
    const [first] = allowed
    if (!first) return callback(new Error(`${hostname} leads to no public address`), '', 0)
    if (options.all) callback(null, allowed)
    else callback(null, first.address, first.family)
  })
}
