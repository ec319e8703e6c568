/** Which instances are asked for: all, or those of these names that exist. */
export type NameFilter = 'all' | readonly string[]

/** Longest filter of the REST route, in bytes as sent. */
export const MAX_FILTER_BYTES = 8_192

/** Most names in one GraphQL filter. */
export const MAX_NAMES = 1_000

/**
 * The documented `?instanceName=` rule, from the raw query string of the request target.
 * Absent or empty: no filter. Repeats are joined by commas; pieces are trimmed, empty ones and repeats dropped.
 */
export function parseInstanceNameQuery(query: string): NameFilter | 'too long' {
  const values = searchParams(query).getAll('instanceName')
  if (sentBytes(query) > MAX_FILTER_BYTES) return 'too long'
  const joined = values.join(',')
  if (joined === '') return 'all'
  return distinct(
    joined
      .split(',')
      .map((piece) => piece.trim())
      .filter((piece) => piece !== ''),
  )
}

/** The size of all values of instanceName as they were sent, escapes and joining commas included. */
function sentBytes(query: string): number {
  const values = query
    .split('&')
    .filter((pair) => searchParams(pair).has('instanceName'))
    .map((pair) => (pair.includes('=') ? pair.slice(pair.indexOf('=') + 1) : ''))
  return Buffer.byteLength(values.join(','))
}

/** The `names` argument: nulls are ignored, [] asks for nothing. */
export const parseNamesArgument = (names: readonly (string | null | undefined)[] | null | undefined): NameFilter =>
  names ? distinct(names.filter((name) => name != null)) : 'all'

/** Names that the database could hold: PostgreSQL refuses NUL, and a lone surrogate would be read as U+FFFD. */
export const storableNames = (names: readonly string[]): string[] =>
  names.filter((name) => name.isWellFormed() && !name.includes('\0'))

/** With its own question mark, because a leading one would be dropped. */
const searchParams = (query: string) => new URLSearchParams(`?${query}`)

const distinct = (names: readonly string[]): string[] => [...new Set(names)]
