import { randomUUID } from 'node:crypto'
import type { ExecutionArgs, ExecutionResult, GraphQLError } from 'graphql'
import { CloseCode, type Context as Connection, makeServer, type Server } from 'graphql-ws'
import { GatewayError, unauthenticated } from '../errors.ts'
import { presentFailure } from '../failure.ts'
import { type Bytes, bytesOf, textOf } from '../http/bytes.ts'
import type { Services } from '../services.ts'
import { authenticate } from '../viewer/authenticate.ts'
import { Call, type CallAnswer } from './call.ts'
import { EventStream, type Sink } from './event-stream.ts'
import type { EventText } from './event-text.ts'
import { isPrepared, type OperationParams, type Operations, type PreparedOperation } from './operations.ts'
import type { Peer } from './peer.ts'
import { toWire } from './present-errors.ts'
import { textFrame } from './text-frame.ts'

const MAX_OPERATIONS = 10
const INIT_TIMEOUT_MS = 3_000
/** Bytes of frames that are sent at once. */
const PIECE_BYTES = 16_384

export type Extra = { peer: Peer }
type InitPayload = Record<string, unknown>

/** A WebSocket answer has no headers; the state of the bucket stands in the extensions of the result. */
const ANSWER: CallAnswer = { tellCharge: () => {}, forbidStoring: () => {} }

/**
 * The messages of `graphql-transport-ws`: which operations are let through, and how their results are sent.
 * @param admit lets a connection in by the payload of its `connection_init`, or closes it
 */
export function createSocketProtocol(
  services: Services,
  operations: Operations,
  admit: (peer: Peer, payload: InitPayload) => Promise<boolean>,
): Server<Extra> {
  const { logger } = services

  const prepare = async (
    { subscriptions, extra: { peer } }: Connection<InitPayload, Extra>,
    params: OperationParams,
  ): Promise<PreparedOperation | readonly GraphQLError[]> => {
    const requestId = randomUUID()
    try {
      if (Object.keys(subscriptions).length > MAX_OPERATIONS || peer.waiting > MAX_OPERATIONS) {
        // Counted without a look at the token, so that a flood does not wait for the database.
        await new Call(services, { request: peer.request, requestId, token: peer.token }, ANSWER).chargeRefusal()
        throw tooManyOperations()
      }
      // For each operation, as for each HTTP request: the look at the opening is not trusted.
      const token = await authenticate(services, peer.sentToken)
      if (token === null || token === 'invalid') {
        peer.close(CloseCode.Unauthorized, 'Invalid token')
        throw unauthenticated()
      }
      const call = new Call(services, { request: peer.request, requestId, token }, ANSWER)
      const prepared = await operations.prepare(call, params)
      return isPrepared(prepared) ? prepared : (toWire(prepared).result.errors ?? [])
    } catch (failure) {
      return [presentFailure(failure, requestId, logger)]
    }
  }

  const perform = async (args: ExecutionArgs): Promise<ExecutionResult> => {
    const operation = args as PreparedOperation
    const outcome = await operations.perform(operation)
    // onOperation takes it from here.
    if (outcome instanceof EventStream) return outcome as ExecutionResult
    return { ...toWire(outcome).result, extensions: operation.contextValue.call.budgetAsExtensions() }
  }

  return makeServer<InitPayload, Extra>({
    connectionInitWaitTimeout: INIT_TIMEOUT_MS,
    onConnect: ({ extra: { peer }, connectionParams }) => admit(peer, connectionParams ?? {}),
    onSubscribe: (connection, _id, params) => prepare(connection, params),
    execute: perform,
    subscribe: perform,
    onOperation: ({ extra: { peer } }, id, _params, args, result) =>
      result instanceof EventStream
        ? sendEvents(peer, id, result, (args as PreparedOperation).contextValue.call.budgetAsExtensions())
        : undefined,
  })
}

const tooManyOperations = () =>
  new GatewayError(
    'RATE_LIMITED',
    `A connection may have ${MAX_OPERATIONS} operations at once. Wait for one to end, or open another connection`,
  )

/**
 * Sends the events of a stream, each when there is room for it. The protocol is given an iterator
 * that yields nothing, because it would serialise each event once more.
 */
function sendEvents(
  peer: Peer,
  id: string,
  events: EventStream,
  extensions: Record<string, unknown>,
): AsyncIterableIterator<never> {
  const over = { done: true, value: undefined } as const
  return {
    next: () =>
      new Promise((resolve, reject) => {
        const end = (reason: GatewayError | null) => (reason ? reject(reason) : resolve(over))
        events.flow(new SocketEvents(peer, id, events, extensions, end))
      }),
    return: async () => {
      events.end(null)
      return over
    },
    [Symbol.asyncIterator]() {
      return this
    },
  }
}

/** The messages of one stream. */
class SocketEvents implements Sink {
  readonly end: Sink['end']
  readonly #peer: Peer
  readonly #before: Bytes
  readonly #events: EventStream
  readonly #resume = () => this.#events.resume()
  #extensions: Record<string, unknown> | null
  #added = ''

  /** @param extensions what the first message tells beside its event */
  constructor(peer: Peer, id: string, events: EventStream, extensions: Record<string, unknown>, end: Sink['end']) {
    this.#peer = peer
    this.#before = bytesOf(`{"id":${JSON.stringify(id)},"type":"next","payload":`)
    this.#events = events
    this.#extensions = extensions
    this.end = end
  }

  add({ json }: EventText): boolean {
    const payload = this.#extensions ? withExtensions(json, this.#extensions) : json
    this.#extensions = null
    this.#added += textFrame(`${this.#before}${payload}}` as Bytes)
    return this.#added.length < PIECE_BYTES
  }

  flush(): boolean {
    const frames = this.#added as Bytes
    this.#added = ''
    return this.#peer.sendFrames(frames, this.#resume)
  }
}

/** The first text of a stream tells the state of the bucket beside what it says itself. */
function withExtensions(json: Bytes, extensions: Record<string, unknown>): Bytes {
  const payload = JSON.parse(textOf(json)) as ExecutionResult
  return bytesOf(JSON.stringify({ ...payload, extensions: { ...payload.extensions, ...extensions } }))
}
