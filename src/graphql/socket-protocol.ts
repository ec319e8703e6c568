import { randomUUID } from 'node:crypto'
import type { ExecutionArgs, ExecutionResult, GraphQLError } from 'graphql'
import { CloseCode, type Context as Connection, makeServer, type Server } from 'graphql-ws'
import { GatewayError, unauthenticated } from '../errors.ts'
import { presentFailure } from '../failure.ts'
import { type Bytes, bytesOf, compact, textOf } from '../http/bytes.ts'
import type { Services } from '../services.ts'
import { authenticate } from '../viewer/authenticate.ts'
import { Call, type CallAnswer } from './call.ts'
import { EventStream, type Sink } from './event-stream.ts'
import type { EventText } from './event-text.ts'
import { isPrepared, type OperationParams, type Operations, type PreparedOperation } from './operations.ts'
import type { Peer, Writer } from './peer.ts'
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
    id: string,
    params: OperationParams,
  ): Promise<ExecutionArgs | readonly GraphQLError[]> => {
    const requestId = compact(randomUUID())
    try {
      if (Object.keys(subscriptions).length > MAX_OPERATIONS || peer.waiting > MAX_OPERATIONS) {
        // Counted without a look at the token, so that a flood does not wait for the database.
        await new Call(services, { client: peer.client, requestId, token: peer.token }, ANSWER).chargeRefusal()
        throw tooManyOperations()
      }
      // For each operation, as for each HTTP request: the look at the opening is not trusted.
      const token = await authenticate(services, peer.sentToken)
      if (token === null || token === 'invalid') {
        peer.close(CloseCode.Unauthorized, 'Invalid token')
        throw unauthenticated()
      }
      const call = new Call(services, { client: peer.client, requestId, token }, ANSWER)
      const operation = await operations.prepare(call, params)
      if (!isPrepared(operation)) return toWire(operation).result.errors ?? []
      const { schema, document, operationName } = operation
      return { schema, document, operationName, contextValue: new TakenOnce({ peer, id, operation }) }
    } catch (failure) {
      return [presentFailure(failure, requestId, logger)]
    }
  }

  const perform = async ({ contextValue }: ExecutionArgs): Promise<ExecutionResult> => {
    const { peer, id, operation } = (contextValue as TakenOnce).take()
    const { call } = operation.contextValue
    const outcome = await operations.perform(operation)
    // Iterated over, and seen to be no result.
    if (outcome instanceof EventStream) {
      return new SocketEvents(peer, id, outcome, call.budgetAsExtensions()) as ExecutionResult
    }
    return { ...toWire(outcome).result, extensions: call.budgetAsExtensions() }
  }

  return makeServer<InitPayload, Extra>({
    connectionInitWaitTimeout: INIT_TIMEOUT_MS,
    onConnect: ({ extra: { peer }, connectionParams }) => admit(peer, connectionParams ?? {}),
    onSubscribe: prepare,
    execute: perform,
    subscribe: perform,
  })
}

type Errand = { peer: Peer; id: string; operation: PreparedOperation }

/**
 * Given to the protocol in place of an operation: it keeps what it is given as long as the stream lives, so the operation
 * is taken out.
 */
class TakenOnce {
  #errand: Errand | null

  constructor(errand: Errand) {
    this.#errand = errand
  }

  take(): Errand {
    const errand = this.#errand
    if (!errand) throw new Error('An operation is performed once')
    this.#errand = null
    return errand
  }
}

const tooManyOperations = () =>
  new GatewayError(
    'RATE_LIMITED',
    `A connection may have ${MAX_OPERATIONS} operations at once. Wait for one to end, or open another connection`,
  )

/**
 * The messages of one stream, each sent when there is room for it. The protocol is given an iterator that yields nothing
 * and ends with the stream, because it would serialise each event once more.
 */
class SocketEvents implements Sink, Writer, AsyncIterableIterator<never> {
  readonly #peer: Peer
  readonly #before: Bytes
  readonly #events: EventStream
  /** What the first message tells beside its event; null after it. */
  #extensions: Record<string, unknown> | null
  #added = ''
  #over: ((over: IteratorReturnResult<undefined> | Promise<never>) => void) | null = null

  constructor(peer: Peer, id: string, events: EventStream, extensions: Record<string, unknown>) {
    this.#peer = peer
    this.#before = bytesOf(`{"id":${JSON.stringify(id)},"type":"next","payload":`)
    this.#events = events
    this.#extensions = extensions
  }

  [Symbol.asyncIterator](): this {
    return this
  }

  next(): Promise<IteratorReturnResult<undefined>> {
    return new Promise((resolve) => {
      this.#over = resolve
      this.#events.flow(this)
    })
  }

  async return(): Promise<IteratorReturnResult<undefined>> {
    this.#events.end(null)
    return OVER
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
    return this.#peer.sendFrames(frames, this)
  }

  resume(): void {
    this.#events.resume()
  }

  end(reason: GatewayError | null): void {
    // A promise that rejects is passed on as such, so that one function is kept and not two.
    this.#over?.(reason ? Promise.reject(reason) : OVER)
  }
}

const OVER = { done: true, value: undefined } as const

/** The first text of a stream tells the state of the bucket beside what it says itself. */
function withExtensions(json: Bytes, extensions: Record<string, unknown>): Bytes {
  const payload = JSON.parse(textOf(json)) as ExecutionResult
  return bytesOf(JSON.stringify({ ...payload, extensions: { ...payload.extensions, ...extensions } }))
}
