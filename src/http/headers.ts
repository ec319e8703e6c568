import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Charge } from '../rate-limit.ts'

const ALLOWED_METHODS = 'GET, HEAD, POST, DELETE, OPTIONS'
const ALLOWED_HEADERS = 'content-type, authorization, token'
const EXPOSED_HEADERS = 'X-RateLimit-Limit, X-RateLimit-Remaining, X-RateLimit-Reset, Retry-After, X-Request-Id, ETag'
const PREFLIGHT_SECONDS = 600

/** Headers of every answer. A `token` header is not known to shared caches, hence private and Vary. */
export function setCommonHeaders(response: ServerResponse, requestId: string): void {
  response.setHeader('X-Request-Id', requestId)
  response.setHeader('X-Content-Type-Options', 'nosniff')
  response.setHeader('Cache-Control', 'private, no-cache')
  response.setHeader('Vary', 'token, authorization, origin')
}

/** Lets pages of the listed origins read the answer; others get no CORS header at all, and never a cookie is involved. */
export function setCorsHeaders(request: IncomingMessage, response: ServerResponse, origins: readonly string[]): void {
  const { origin } = request.headers
  if (!origin || !origins.includes(origin)) return
  response.setHeader('Access-Control-Allow-Origin', origin)
  response.setHeader('Access-Control-Expose-Headers', EXPOSED_HEADERS)
  if (request.method !== 'OPTIONS') return
  response.setHeader('Access-Control-Allow-Methods', ALLOWED_METHODS)
  response.setHeader('Access-Control-Allow-Headers', ALLOWED_HEADERS)
  response.setHeader('Access-Control-Max-Age', PREFLIGHT_SECONDS)
}

/** The state of an identified token's bucket, on every answer to it. */
export function setRateLimitHeaders(response: ServerResponse, { granted, budget, retryAfterSeconds }: Charge): void {
  response.setHeader('X-RateLimit-Limit', budget.limit)
  response.setHeader('X-RateLimit-Remaining', budget.remaining)
  response.setHeader('X-RateLimit-Reset', budget.resetAt)
  if (!granted) response.setHeader('Retry-After', retryAfterSeconds)
}
