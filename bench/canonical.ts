/** A JSON text with sorted keys and nothing else between them: equal for equal values. */
export const canonical = (json: string): string => JSON.stringify(sortKeys(JSON.parse(json)))

const sortKeys = (value: unknown): unknown => {
  if (Array.isArray(value)) return value.map(sortKeys)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(
    Object.entries(value)
      .toSorted(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, inner]) => [key, sortKeys(inner)]),
  )
}
