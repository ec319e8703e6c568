import type { ServerResponse } from 'node:http'
import type { GatewayError } from '../errors.ts'
import { replyJson } from '../http/reply.ts'

/** The documented error envelope. */
export function replyError(response: ServerResponse, status: number, message: string): void {
  replyJson(response, status, JSON.stringify({ success: false, error: { message } }))
}

export function replyGatewayError(response: ServerResponse, error: GatewayError): void {
  if (error.details.retryAfter !== undefined) response.setHeader('Retry-After', error.details.retryAfter)
  replyError(response, error.status, error.message)
}
