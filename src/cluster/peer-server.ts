import { createHash, timingSafeEqual } from 'node:crypto'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { networkInterfaces } from 'node:os'
import { isPublicHost } from '../address-guard.ts'
import { presentFailure } from '../failure.ts'
import { readJsonBody } from '../http/body.ts'
import { prepareDrain } from '../http/drain.ts'
import { replyJson } from '../http/reply.ts'
import { requestIdOf } from '../http/request-id.ts'
import type { Logger } from '../logger.ts'
import { NotOwner } from '../session/remote.ts'
import { NOT_MINE, type ToldError } from './peers.ts'
import {
  type CommandAnswer,
  type CommandRequest,
  parseWire,
  REQUESTS,
  type StatesAnswer,
  type StatesRequest,
  type TakeRequest,
} from './wire.ts'

const DRAIN_MS = 2_000
const IDLE_MS = 30_000
const REQUEST_TIMEOUT_MS = 10_000

/** What other nodes may ask of this one. */
export type PeerHandlers = {
  states(request: StatesRequest): StatesAnswer
  /** @throws NotOwner, GatewayError */
  command(request: CommandRequest): Promise<CommandAnswer>
  take(request: TakeRequest): Promise<void>
}

export type PeerServer = {
  /** Where other nodes reach it, `host:port`. */
  address: string
  close(): Promise<void>
}

/**
 * Listens for the other nodes, apart from the users' port. Nobody else has the bearer.
 * @param address host and port that the others are told; port 0: a free one; null: the first address of this machine
 * @throws with advice when the port cannot be had
 */
export async function listenForPeers(
  handlers: PeerHandlers,
  {
    nodeId,
    address,
    bearers,
    logger,
  }: {
    nodeId: string
    address: { host: string; port: number } | null
    bearers: readonly string[]
    logger: Logger
  },
): Promise<PeerServer> {
  const digests = bearers.map(digestOf)
  const isNode = (request: IncomingMessage) => {
    const shown = digestOf(/^bearer (.*)$/i.exec(request.headers.authorization ?? '')?.[1] ?? '')
    // All are compared, so that the time tells nothing.
    return digests.map((digest) => timingSafeEqual(digest, shown)).some(Boolean)
  }

  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    if (request.method !== 'POST') return replyJson(response, 404, '{}')
    if (!isNode(request)) return replyJson(response, 401, '{}')
    // Dates are read from the text: what readJsonBody gives has none.
    const { to, ...body } = parseWire<{ to?: unknown }>(JSON.stringify(await readJsonBody(request)))
    // The port of a node that is gone may be another's by now.
    if (to !== nodeId) return replyJson(response, NOT_MINE, '{}')
    switch (request.url) {
      case '/states':
        return replyJson(response, 200, JSON.stringify(handlers.states(REQUESTS.states.parse(body))))
      case '/command': {
        const command = REQUESTS.command.parse(body) as CommandRequest
        return replyJson(response, 200, JSON.stringify(await handlers.command(command)))
      }
      case '/take':
        await handlers.take(REQUESTS.take.parse(body))
        return replyJson(response, 200, '{}')
      default:
        return replyJson(response, 404, '{}')
    }
  }

  const server = createServer(
    { requestTimeout: REQUEST_TIMEOUT_MS, keepAliveTimeout: IDLE_MS },
    (request, response) => {
      answer(request, response).catch((failure) => {
        if (failure instanceof NotOwner) return replyJson(response, NOT_MINE, '{}')
        const { code, message, details } = presentFailure(failure, requestIdOf(request), logger)
        response.setHeader('X-Told-Error', '1')
        const told: ToldError = { code, message, details }
        replyJson(response, 500, JSON.stringify(told))
      })
    },
  )
  const drain = prepareDrain(server, DRAIN_MS)
  const host = address?.host ?? firstAddress()
  const here = addressesHere().map((found) => found.address)
  // It may be one by which only the others know this machine: it listens on all of its addresses then.
  const bound = here.includes(host) ? host : undefined
  await new Promise<void>((resolve, reject) => {
    const fail = (error: Error) =>
      reject(
        new Error(
          `This node cannot listen for the others: ${error.message}. Set NODE_ADDRESS to its host and a free port`,
          {
            cause: error,
          },
        ),
      )
    server.once('error', fail).listen(address?.port ?? 0, bound, () => {
      server.off('error', fail)
      resolve()
    })
  })
  const addresses = (bound === undefined ? here : [bound]).filter(isPublicHost)
  if (addresses.length > 0) {
    logger.warn(
      { addresses },
      'this node listens for the others on a public address, without encryption: set NODE_ADDRESS to one of a private network',
    )
  }
  const { port } = server.address() as AddressInfo
  return {
    address: `${host.includes(':') ? `[${host}]` : host}:${port}`,
    close: async () => void (await drain()),
  }
}

const digestOf = (text: string) => createHash('sha256').update(text).digest()

const addressesHere = () => Object.values(networkInterfaces()).flatMap((found) => found ?? [])

/** The address of this machine that others are most likely to reach. */
const firstAddress = (): string =>
  addressesHere().find(({ family, internal }) => family === 'IPv4' && !internal)?.address ?? '127.0.0.1'
