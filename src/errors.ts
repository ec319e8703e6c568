import { GraphQLError } from 'graphql'

/** The closed list of error codes, shared by GraphQL (`extensions.code`) and REST, with their meaning for users. */
export const ERROR_CODES = {
  GRAPHQL_PARSE_FAILED: 'The text is not GraphQL. HTTP 400 for application/graphql-response+json.',
  GRAPHQL_VALIDATION_FAILED: 'The operation does not fit the schema. HTTP 400 for application/graphql-response+json.',
  QUERY_TOO_COMPLEX:
    'The operation is too deep, broad, long or costly. HTTP 400 for application/graphql-response+json.',
  UNAUTHENTICATED: 'No token, an unknown one, or one revoked since. HTTP 401.',
  FORBIDDEN: 'An instance token asked for what needs an account token; never said of a foreign instance. HTTP 200.',
  INSTANCE_NOT_FOUND: 'Missing or not visible; mutations and pairing only. HTTP 200.',
  INSTANCE_NAME_TAKEN: 'Another instance of the account has the name. HTTP 200.',
  QUOTA_EXCEEDED: 'A quota of the account or instance is used up. HTTP 200.',
  BAD_USER_INPUT: 'A value was refused; `field` says which. HTTP 200, or 400 if variables do not fit.',
  CONFLICT: 'Not possible in the present state. HTTP 200.',
  RATE_LIMITED: 'Over the limit. HTTP 429 before execution.',
  SERVICE_UNAVAILABLE: 'A dependency is away, or this node is shutting down; retry. HTTP 503 before execution.',
  INTERNAL_SERVER_ERROR: 'Ours; the cause is in the log under requestId. HTTP 200, or 500 before execution.',
} as const

export type ErrorCode = keyof typeof ERROR_CODES

/** The HTTP status of an answer that consists of this error alone, where it is not 400. */
const HTTP_STATUS: Partial<Record<ErrorCode, number>> = {
  UNAUTHENTICATED: 401,
  INSTANCE_NOT_FOUND: 404,
  RATE_LIMITED: 429,
  SERVICE_UNAVAILABLE: 503,
  INTERNAL_SERVER_ERROR: 500,
}

/** Further keys of `extensions` that a user may see. */
export type ErrorDetails = {
  /** Path of the refused input, e.g. `input.name`. */
  field?: string
  /** Seconds until a retry makes sense. */
  retryAfter?: number
  limit?: number
  remaining?: number
  /** ISO 8601. */
  resetAt?: string
  requestId?: string
}

/** An error that is meant for the user: its message and details are shown as they are. */
export class GatewayError extends GraphQLError {
  readonly code: ErrorCode
  readonly details: ErrorDetails
  /** HTTP status of an answer that consists of this error alone. */
  readonly status: number

  constructor(code: ErrorCode, message: string, details: ErrorDetails = {}, status = HTTP_STATUS[code] ?? 400) {
    super(message, { extensions: { code, ...details } })
    this.name = 'GatewayError'
    this.code = code
    this.details = details
    this.status = status
  }
}

/** A request that is refused for its form, before anything in it is looked at. */
export const badRequest = (message: string, status = 400) => new GatewayError('BAD_USER_INPUT', message, {}, status)

export const badUserInput = (field: string, message: string) => new GatewayError('BAD_USER_INPUT', message, { field })

export const unauthenticated = () => new GatewayError('UNAUTHENTICATED', 'Invalid token')

export const internalServerError = (requestId: string) =>
  new GatewayError('INTERNAL_SERVER_ERROR', 'Internal server error', { requestId })

export const forbidden = () => new GatewayError('FORBIDDEN', 'This needs an account token; an instance token was sent')

export const instanceNotFound = () => new GatewayError('INSTANCE_NOT_FOUND', 'Instance not found')

/** Seconds a client is asked to wait when a dependency is away. */
const UNAVAILABLE_RETRY_SECONDS = 5

export const serviceUnavailable = () =>
  new GatewayError('SERVICE_UNAVAILABLE', 'Service unavailable', { retryAfter: UNAVAILABLE_RETRY_SECONDS })
