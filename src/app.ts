import { randomUUID } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Duplex } from 'node:stream'
import { presentFailure } from './failure.ts'
import { createGraphQLHandler } from './graphql/handler.ts'
import { setCommonHeaders, setCorsHeaders } from './http/headers.ts'
import { replyLive, replyReady } from './http/health.ts'
import { requestIdOf } from './http/request-id.ts'
import { replyGatewayError } from './rest/errors.ts'
import { handleRest } from './rest/router.ts'
import type { Services } from './services.ts'

/** What the HTTP server is given; it opens no port itself. */
export type App = {
  handle(request: IncomingMessage, response: ServerResponse): void
  /** Answers what Node's HTTP parser refuses. */
  handleClientError(error: NodeJS.ErrnoException, socket: Duplex): void
  /** From now on the readiness check says no, and connections are closed after their answer. */
  startStopping(): void
}

export function createApp(services: Services): App {
  const handleGraphQL = createGraphQLHandler(services)
  const { config, logger } = services
  let isStopping = false

  const route = async (request: IncomingMessage, response: ServerResponse, requestId: string): Promise<void> => {
    const { path, query } = targetOf(request.url ?? '/')
    switch (path) {
      case '/health/live':
        return replyLive(response)
      case '/health/ready':
        return replyReady(response, services, isStopping)
      case '/graphql':
        return handleGraphQL(request, response, { query, requestId })
      default:
        return handleRest(services, request, response, { path, query, requestId })
    }
  }

  return {
    handle: (request, response) => {
      const startedAt = performance.now()
      const requestId = requestIdOf(request)
      setCommonHeaders(response, requestId)
      setCorsHeaders(request, response, config.corsOrigins)
      if (isStopping) response.setHeader('Connection', 'close')
      response.once('close', () => {
        const ms = Math.round(performance.now() - startedAt)
        const { path } = targetOf(request.url ?? '/')
        logger.info({ requestId, method: request.method, path, status: response.statusCode, ms }, 'request')
      })
      route(request, response, requestId).catch((failure) => {
        const error = presentFailure(failure, requestId, logger)
        if (response.headersSent) response.destroy()
        else replyGatewayError(response, error)
      })
    },
    handleClientError,
    startStopping: () => {
      isStopping = true
    },
  }
}

/** Path and query of a request target, as sent; a proxy may send it with scheme and host before it. */
function targetOf(target: string): { path: string; query: string } {
  const url = target.replace(/^https?:\/\/[^/?#]*/i, '')
  const start = url.indexOf('?')
  return start === -1 ? { path: url, query: '' } : { path: url.slice(0, start), query: url.slice(start + 1) }
}

function handleClientError(error: NodeJS.ErrnoException, socket: Duplex): void {
  if (error.code === 'ECONNRESET' || !socket.writable) return void socket.destroy()
  const [status, message] =
    error.code === 'HPE_HEADER_OVERFLOW'
      ? ['431 Request Header Fields Too Large', 'The headers are too large']
      : error.code === 'ERR_HTTP_REQUEST_TIMEOUT'
        ? ['408 Request Timeout', 'The request took too long']
        : ['400 Bad Request', 'Bad request']
  const body = JSON.stringify({ success: false, error: { message } })
  const head = `HTTP/1.1 ${status}\r\nContent-Type: application/json; charset=utf-8\r\nContent-Length: ${Buffer.byteLength(body)}`
  socket.end(
    `${head}\r\nCache-Control: private, no-cache\r\nVary: token, authorization, origin\r\nX-Request-Id: ${randomUUID()}\r\nConnection: close\r\n\r\n${body}`,
  )
}
