import type { IncomingMessage } from 'node:http'
import { LRUCache } from 'lru-cache'

export const GRAPHQL_JSON = 'application/graphql-response+json'
const JSON_TYPES = [GRAPHQL_JSON, 'application/json']
/** Clients send one of a few headers. */
const MAX_KNOWN = 100

/** What the Accept header of a request says. */
export type Accepted = {
  /** Without a header all, never those with q=0, also where a wildcard has them. */
  types: readonly string[]
  /** A single answer. */
  json: boolean
  /** The type of GraphQL over HTTP, by its name. */
  graphqlJson: boolean
  /** Only by its name: a client that takes anything expects a single answer. */
  events: boolean
}

const known = new LRUCache<string, Accepted>({ max: MAX_KNOWN })

export function acceptedBy({ headers }: IncomingMessage): Accepted {
  const header = headers.accept?.trim() || '*/*'
  const read = known.get(header) ?? readAccept(header)
  known.set(header, read)
  return read
}

function readAccept(header: string): Accepted {
  const types = acceptedTypes(header)
  const accepts = (type: RegExp) => types.some((accepted) => type.test(accepted))
  return {
    types,
    json: accepts(/^(\*\/\*|application\/(\*|json|graphql-response\+json))\s*(;|$)/),
    graphqlJson: accepts(/^application\/graphql-response\+json/),
    events: accepts(/^text\/event-stream\s*(;|$)/),
  }
}

const isRefused = (type: string) => /;\s*q=0(\.0*)?\s*(;|$)/.test(type)
const isWildcard = (type: string) => /^(\*|application)\/\*/.test(type)

function acceptedTypes(header: string): string[] {
  const sent = header.split(',').map((type) => type.trim().toLowerCase())
  const refused = sent.filter(isRefused).map((type) => type.replace(/\s*;.*/, ''))
  const named = JSON_TYPES.filter((type) => !refused.includes(type))
  return sent
    .filter((type) => !isRefused(type))
    .flatMap((type) => (isWildcard(type) && refused.length > 0 ? named : type))
}
