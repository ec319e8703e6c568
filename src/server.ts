import { createServer } from 'node:http'
import { setTimeout } from 'node:timers/promises'
import type { App } from './app.ts'
import { bind } from './http/bind.ts'
import { prepareDrain } from './http/drain.ts'
import { GatewayResponse } from './http/response.ts'
import { isWebSocketUpgrade, serveWithoutUpgrade } from './http/upgrade.ts'

/** Big enough for the longest filter to reach the route and be refused there. */
const MAX_HEADER_BYTES = 32 * 1024
const REQUEST_TIMEOUT_MS = 60_000
/** A connection on which nothing moves, such as one whose reader has stopped reading. */
const SOCKET_TIMEOUT_MS = 120_000
/** So long answers say that the connection will close, before connections without a request are closed. */
const NOTICE_MS = 250
/** How long running requests may take to finish when the gateway stops. */
const DRAIN_MS = 5_000

export type Listening = {
  /** Where it listens, e.g. `http://127.0.0.1:4000`. */
  url: string
  /** Lets running requests finish; true when some had to be cut off. */
  close(): Promise<boolean>
}

/** @throws with advice when the port cannot be had */
export async function listen(app: App, { host, port }: { host: string; port: number }): Promise<Listening> {
  const server = createServer(
    // A request without Host is refused by the app, in its own words.
    {
      maxHeaderSize: MAX_HEADER_BYTES,
      requestTimeout: REQUEST_TIMEOUT_MS,
      requireHostHeader: false,
      ServerResponse: GatewayResponse,
    },
    app.handle,
  )
  server.timeout = SOCKET_TIMEOUT_MS
  server.on('clientError', app.handleClientError)
  server.on('checkExpectation', app.handle)
  server.on('upgrade', (request, socket, head) => {
    if (isWebSocketUpgrade(request)) app.handleUpgrade(request, socket, head)
    else serveWithoutUpgrade(server, request, socket, head)
  })
  server.on('connect', (_request, socket) => app.refuseTunnel(socket))
  const drain = prepareDrain(server, DRAIN_MS)
  return {
    url: await bind(server, { host, port, variable: 'PORT' }),
    close: async () => {
      app.startStopping()
      await setTimeout(NOTICE_MS)
      return drain()
    },
  }
}
