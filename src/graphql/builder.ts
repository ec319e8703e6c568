import SchemaBuilder from '@pothos/core'
import type { Context } from './context.ts'

/** The schema builder: scalars and defaults, no type of the domain. */
export const builder = new SchemaBuilder<{
  Context: Context
  DefaultFieldNullability: false
  Scalars: {
    ID: { Input: string; Output: string }
    DateTime: { Input: never; Output: Date }
    SafeInt: { Input: never; Output: number }
  }
}>({ defaultFieldNullability: false })

builder.scalarType('DateTime', {
  description: 'An instant: RFC 3339, UTC, milliseconds, always with Z.',
  specifiedByURL: 'https://scalars.graphql.org/andimarek/date-time.html',
  serialize: (instant) => instant.toISOString(),
})

builder.scalarType('SafeInt', {
  description: 'An integer as a JSON number, from 0 to 2^53 - 1 (Int ends at 2^31 - 1).',
  serialize: (value) => {
    if (!Number.isSafeInteger(value) || value < 0) throw new Error(`SafeInt cannot represent ${value}`)
    return value
  },
})

builder.queryType({
  description: "Reading. Every root field, alias or not, is one request of the token's 100 a minute.",
})

builder.mutationType({
  description:
    'One writer per instance at a time. A failed mutation is null beside an error, so that its neighbours in the operation keep their answers.',
})

builder.subscriptionType({
  description:
    'A stream ends by itself, or with an error whose code is UNAUTHENTICATED, RATE_LIMITED, SERVICE_UNAVAILABLE or INTERNAL_SERVER_ERROR; all but the first are worth a retry. Events have `extensions.delayed: true` while news of sessions on other nodes come late.',
})
