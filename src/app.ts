import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Duplex } from 'node:stream'
import { presentFailure } from './failure.ts'
import { createGraphQLHandler } from './graphql/handler.ts'
import { createOperations } from './graphql/operations.ts'
import { createSockets } from './graphql/sockets.ts'
import { setCommonHeaders, setCorsHeaders } from './http/headers.ts'
import { replyLive, replyReady } from './http/health.ts'
import { replyRaw } from './http/raw-reply.ts'
import { requestIdOf } from './http/request-id.ts'
import { replyError, replyGatewayError } from './rest/errors.ts'
import { handleRest } from './rest/router.ts'
import type { Services } from './services.ts'

/** What the HTTP server is given; it opens no port itself. */
export type App = {
  handle(request: IncomingMessage, response: ServerResponse): void
  /** Answers a request to go on as a WebSocket. */
  handleUpgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void
  /** Answers CONNECT, which Node hands over as a bare socket. */
  refuseTunnel(socket: Duplex): void
  /** Answers what Node's HTTP parser refuses. */
  handleClientError(error: NodeJS.ErrnoException, socket: Duplex): void
  /** From now on the readiness check says no, streams end with a reason, and connections are closed after their answer. */
  startStopping(): void
}

export function createApp(services: Services): App {
  const operations = createOperations(services)
  const handleGraphQL = createGraphQLHandler(services, operations)
  const sockets = createSockets(services, operations)
  const { config, logger, tokenWatch } = services
  let isStopping = false

  const route = async (
    request: IncomingMessage,
    response: ServerResponse,
    { path, query, requestId }: Target & { requestId: string },
  ): Promise<void> => {
    if (request.httpVersion === '1.1' && !request.headers.host) return replyError(response, 400, 'Bad request')
    if (request.headers.expect && !/^100-continue$/i.test(request.headers.expect)) {
      return replyError(response, 417, 'Expectation failed')
    }
    switch (path) {
      case '/health/live':
      case '/health/ready':
        if (request.method !== 'GET' && request.method !== 'HEAD') {
          response.setHeader('Allow', 'GET, HEAD')
          return replyError(response, 405, 'Method not allowed')
        }
        return path === '/health/live' ? replyLive(response) : replyReady(response, services, isStopping)
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
      const target = targetOf(request)
      setCommonHeaders(response, requestId)
      setCorsHeaders(request, response, config.corsOrigins)
      if (isStopping) response.setHeader('Connection', 'close')
      response.on('close', () => {
        const ms = Math.round(performance.now() - startedAt)
        // Of an answer that did not get through, nobody has seen the status.
        const outcome = response.writableFinished ? { status: response.statusCode } : { aborted: true }
        logger.info({ requestId, method: request.method, path: target.path, ...outcome, ms }, 'request')
      })
      route(request, response, { ...target, requestId }).catch((failure) => {
        const error = presentFailure(failure, requestId, logger)
        if (response.headersSent) response.destroy()
        else replyGatewayError(response, error)
      })
    },
    handleUpgrade: (request, socket, head) => {
      const { path, query } = targetOf(request)
      if (path !== '/graphql') return replyRaw(socket, '404 Not Found', 'Not found')
      sockets.upgrade(request, socket, head, { query, requestId: requestIdOf(request) })
    },
    refuseTunnel: (socket) => replyRaw(socket, '405 Method Not Allowed', 'Method not allowed'),
    handleClientError,
    startStopping: () => {
      isStopping = true
      sockets.close()
      tokenWatch.endAll()
    },
  }
}

type Target = { path: string; query: string }

/** Path and query of a request target, as sent; a proxy may send it with scheme and host before it. */
function targetOf({ url: target = '/' }: IncomingMessage): Target {
  const url = target.startsWith('/') ? target : target.replace(/^https?:\/\/[^/?#]*/i, '')
  const start = url.indexOf('?')
  return start === -1 ? { path: url, query: '' } : { path: url.slice(0, start), query: url.slice(start + 1) }
}

function handleClientError(error: NodeJS.ErrnoException, socket: Duplex): void {
  if (error.code === 'ECONNRESET' || !socket.writable) return void socket.destroy()
  const [status = '', message = ''] =
    error.code === 'HPE_HEADER_OVERFLOW'
      ? ['431 Request Header Fields Too Large', 'The headers are too large']
      : error.code === 'ERR_HTTP_REQUEST_TIMEOUT'
        ? ['408 Request Timeout', 'The request took too long']
        : ['400 Bad Request', 'Bad request']
  replyRaw(socket, status, message)
}
