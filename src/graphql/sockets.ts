import { type IncomingMessage, STATUS_CODES } from 'node:http'
import type { Duplex } from 'node:stream'
import { GRAPHQL_TRANSPORT_WS_PROTOCOL, handleProtocols } from 'graphql-ws'
import { WebSocketServer } from 'ws'
import { badRequest, type GatewayError, serviceUnavailable } from '../errors.ts'
import { presentFailure } from '../failure.ts'
import { type Client, clientAddressOf } from '../http/client-address.ts'
import { replyRaw } from '../http/raw-reply.ts'
import type { Services } from '../services.ts'
import type { LiveToken } from '../token/queries.ts'
import { readToken, tokenOf } from '../viewer/authenticate.ts'
import { identify, refuse } from '../viewer/identify.ts'
import { KeepAlive } from './keep-alive.ts'
import type { Operations } from './operations.ts'
import { Peer, SERVICE_RESTART } from './peer.ts'
import { createSocketProtocol } from './socket-protocol.ts'

const MAX_MESSAGE_BYTES = 1024 * 1024

export type Sockets = {
  /** Answers a WebSocket upgrade of /graphql. */
  upgrade(request: IncomingMessage, socket: Duplex, head: Buffer, target: { query: string; requestId: string }): void
  /** Closes every connection, because this node goes away, and lets nothing new in. */
  close(): void
}

/** GraphQL over WebSocket: connections, from the upgrade to the end. */
export function createSockets(services: Services, operations: Operations): Sockets {
  const { config, logger, tokenWatch } = services
  const server = new WebSocketServer({
    noServer: true,
    clientTracking: false,
    maxPayload: MAX_MESSAGE_BYTES,
    perMessageDeflate: false,
    autoPong: false,
    handleProtocols,
  })
  server.on('wsClientError', (error, socket) => replyRaw(socket, '400 Bad Request', error.message))
  const peers = new KeepAlive<Peer>()
  let isStopping = false

  /** The connection lives as long as its token. */
  const hold = (peer: Peer, token: LiveToken) => {
    // It may have closed while the token was looked up, and nothing would release it any more.
    if (!peer.isOpen) return
    peer.token = token
    tokenWatch.hold(token.id, peer)
  }

  const protocol = createSocketProtocol(services, operations, async (peer, payload) => {
    if (peer.sentToken !== null) return true
    try {
      const sent = typeof payload.token === 'string' ? readToken(payload.token) : null
      const token = sent && (await identify(services, peer.client, sent))
      if (!token) throw await refuse(services, peer.client)
      peer.sentToken = sent
      hold(peer, token)
      return true
    } catch (failure) {
      peer.fail(failure)
      return false
    }
  })

  /** @throws GatewayError when the connection is refused before it is opened */
  const identifyUpgrade = async (request: IncomingMessage, client: Client, query: string) => {
    const { origin } = request.headers
    if (isStopping) throw serviceUnavailable()
    // The browser tells which page asks, and sends no preflight for a WebSocket.
    if (origin !== undefined && !config.corsOrigins.includes(origin)) throw badRequest('Origin not allowed', 403)
    if (!handleProtocols(request.headers['sec-websocket-protocol'] ?? '')) {
      throw badRequest(`The subprotocol has to be ${GRAPHQL_TRANSPORT_WS_PROTOCOL}`)
    }
    const sentToken = tokenOf(request) ?? readToken(new URLSearchParams(query).get('token') ?? '')
    return { sentToken, token: await identify(services, client, sentToken) }
  }

  const welcome = (peer: Peer, token: LiveToken | null) => {
    const startedAt = performance.now()
    // Its token was looked up meanwhile.
    if (isStopping) return peer.close(SERVICE_RESTART, 'Service restart')
    const closed = protocol.opened(peer, { peer })
    peer.onClose((code, reason) => {
      peers.delete(peer)
      if (peer.token) tokenWatch.release(peer.token.id, peer)
      closed(code, reason).catch((failure) => peer.fail(failure))
      const ms = Math.round(performance.now() - startedAt)
      logger.info({ requestId: peer.requestId, path: '/graphql', code, ms }, 'websocket')
    })
    peers.add(peer)
    if (token) hold(peer, token)
  }

  return {
    upgrade: (request, socket, head, { query, requestId }) => {
      // Node listens no longer, and an error that nobody listens to would end the process.
      socket.on('error', destroy)
      const client = { address: clientAddressOf(request, config.trustProxy) }
      identifyUpgrade(request, client, query)
        .then(({ sentToken, token }) =>
          server.handleUpgrade(request, socket, head, (opened) => {
            const peer = new Peer(opened, socket, { client, requestId, sentToken }, logger)
            try {
              welcome(peer, token)
            } catch (failure) {
              // It is open, and an HTTP answer would be no frame.
              peer.fail(failure)
            }
          }),
        )
        .catch((failure) => refuseUpgrade(socket, requestId, presentFailure(failure, requestId, logger)))
    },
    close: () => {
      isStopping = true
      for (const peer of peers) peer.close(SERVICE_RESTART, 'Service restart')
    },
  }
}

function refuseUpgrade(socket: Duplex, requestId: string, { status, message, details }: GatewayError): void {
  const headers = details.retryAfter === undefined ? [] : [`Retry-After: ${details.retryAfter}`]
  replyRaw(socket, `${status} ${STATUS_CODES[status]}`, message, { requestId, headers })
}

/** A listener of its own: as a closure in an upgrade it would keep the request as long as the connection. */
function destroy(this: Duplex): void {
  this.destroy()
}
