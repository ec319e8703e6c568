/** What a process counts by itself, so that no two of them say the same. */
const OWN_COUNTS = new Set(['sequence'])

/** A JSON text with sorted keys and nothing else between them: equal for equal values, own counts apart. */
export const canonical = (json: string): string => JSON.stringify(sortKeys(JSON.parse(json)))

const sortKeys = (value: unknown): unknown => {
  if (Array.isArray(value)) return value.map(sortKeys)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(
    Object.entries(value)
      .map(([key, inner]) => [key, OWN_COUNTS.has(key) ? typeof inner : inner] as const)
      .toSorted(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, inner]) => [key, sortKeys(inner)]),
  )
}
