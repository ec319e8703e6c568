import { type ExecutionResult, GraphQLError, Kind } from 'graphql'
import { ERROR_CODES, type ErrorCode, GatewayError } from '../errors.ts'
import { presentFailure } from '../failure.ts'
import type { Call } from './call.ts'
import { withoutValues } from './without-values.ts'

/** Longest message that echoes what a user sent. */
const MAX_MESSAGE_LENGTH = 500
/** Refusals that GraphQL over HTTP answers with 200 for application/json. */
const REFUSED_IN_THE_BODY = new Set<ErrorCode>([
  'GRAPHQL_PARSE_FAILED',
  'GRAPHQL_VALIDATION_FAILED',
  'QUERY_TOO_COMPLEX',
  'BAD_USER_INPUT',
  'INSTANCE_NOT_FOUND',
])

/** A result as its user sees it. One that was refused before it was executed is counted here. */
export async function presentResult(result: ExecutionResult, call: Call): Promise<ExecutionResult> {
  let shown = result
  try {
    await call.chargeRefusal()
  } catch (error) {
    shown = { errors: [error as GraphQLError] }
  }
  return shown.errors ? { ...shown, errors: presentErrors(shown, call) } : shown
}

/** What of a presented result goes over the wire, and the HTTP status where it has to be told by one. */
export function toWire({ errors, ...result }: ExecutionResult): { result: ExecutionResult; status: number } {
  const { http } = (errors?.[0]?.extensions ?? {}) as { http?: { status: number; spec: boolean } }
  return {
    result: { ...(errors && { errors: errors.map(withoutHttp) }), ...result },
    status: http && !http.spec ? http.status : 200,
  }
}

function withoutHttp(error: GraphQLError): GraphQLError {
  const { http: _http, ...extensions } = error.extensions
  return new GraphQLError(error.message, { ...error, nodes: error.nodes, extensions })
}

/** The errors of a result as users see them: each with a code of the closed list, the unexpected masked and logged once. */
export function presentErrors(result: ExecutionResult, call: Call): GraphQLError[] {
  const isExecuted = 'data' in result
  // A failed batch rejects once per instance with the same error.
  const masked = new Map<unknown, GatewayError>()
  return (result.errors ?? []).map((error) => {
    const expected = expectedError(error, isExecuted)
    if (expected)
      return atPlaceOf(error, call.services.config.introspection ? expected : withoutSuggestion(expected), isExecuted)
    const cause = error.originalError ?? error
    const shown = masked.get(cause) ?? presentFailure(cause, call.requestId, call.services.logger)
    masked.set(cause, shown)
    return atPlaceOf(error, shown, isExecuted)
  })
}

/** An error that says something about what the user sent, or null. */
function expectedError(error: GraphQLError, isExecuted: boolean): GatewayError | null {
  const original = error instanceof GatewayError ? error : error.originalError
  if (original instanceof GatewayError) return original
  const { code, http } = error.extensions as { code?: string; http?: { status?: number; spec?: boolean } }
  const message = withoutValues(error.message)
  if (code === 'GRAPHQL_PARSE_FAILED' || code === 'GRAPHQL_VALIDATION_FAILED') return new GatewayError(code, message)
  // Yoga's refusals of a request's form, and graphql's of an operation name or an argument.
  const isYogaRefusal = code !== undefined && !(code in ERROR_CODES) && http?.status !== undefined && http.status < 500
  const said = original instanceof GraphQLError ? original : error
  const isBadArgument = !said.originalError && code === undefined && (!isExecuted || isAtArgument(said))
  if (isYogaRefusal || isBadArgument) return new GatewayError('BAD_USER_INPUT', message, {}, http?.status)
  return null
}

/** graphql knows names of the schema that are near what was written, and tells them. */
const withoutSuggestion = ({ code, message, details, status }: GatewayError): GatewayError =>
  new GatewayError(code, message.replace(/ Did you mean [\s\S]*$/, ''), details, status)

/** graphql reports a bad argument at the argument, and a bad result at the field. */
const isAtArgument = ({ nodes }: GraphQLError) => nodes?.[0] !== undefined && nodes[0].kind !== Kind.FIELD

const shorten = (message: string) =>
  message.length > MAX_MESSAGE_LENGTH ? `${message.slice(0, MAX_MESSAGE_LENGTH)}…` : message

/** The HTTP status counts only for a result that consists of errors; `spec` leaves it to application/graphql-response+json. */
function atPlaceOf(place: GraphQLError, shown: GatewayError, isExecuted: boolean): GraphQLError {
  const yogas = place.extensions.http as { spec?: boolean; headers?: Record<string, string> } | undefined
  const spec = yogas ? yogas.spec === true : REFUSED_IN_THE_BODY.has(shown.code)
  const http = isExecuted
    ? undefined
    : { status: shown.status, spec, headers: { ...yogas?.headers, ...retryAfter(shown) } }
  return new GraphQLError(shorten(shown.message), {
    nodes: place.nodes,
    source: place.source,
    positions: place.positions,
    path: place.path,
    extensions: { ...shown.extensions, ...(http && { http }) },
  })
}

const retryAfter = ({ details }: GatewayError): Record<string, string> =>
  details.retryAfter === undefined ? {} : { 'Retry-After': String(details.retryAfter) }
