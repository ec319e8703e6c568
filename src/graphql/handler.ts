import type { IncomingMessage, ServerResponse } from 'node:http'
import type { ExecutionResult } from 'graphql'
import { badRequest } from '../errors.ts'
import { presentFailure } from '../failure.ts'
import { readJsonBody } from '../http/body.ts'
import { RequestClient } from '../http/client-address.ts'
import { replyBytes, replyEmpty, replyJson, replyText } from '../http/reply.ts'
import type { Services } from '../services.ts'
import { tokenOf } from '../viewer/authenticate.ts'
import { identify } from '../viewer/identify.ts'
import { acceptedBy, GRAPHQL_JSON } from './accepted.ts'
import { Call, HttpAnswer } from './call.ts'
import { EventStream } from './event-stream.ts'
import { EventText } from './event-text.ts'
import { graphiqlPage, wantsGraphiQL } from './graphiql.ts'
import { isPrepared, type OperationParams, type Operations } from './operations.ts'
import { toWire } from './present-errors.ts'
import { SseReplies } from './sse.ts'

export type GraphQLHandler = (
  request: IncomingMessage,
  response: ServerResponse,
  target: { query: string; requestId: string },
) => Promise<void>

/** GraphQL over HTTP: identifies and reads the request, then answers with JSON, or with events. */
export function createGraphQLHandler(services: Services, operations: Operations): GraphQLHandler {
  const { config } = services
  const sse = new SseReplies(services.tokenWatch)

  const answerWithEvents = async (call: Call, params: OperationParams, response: ServerResponse): Promise<void> => {
    const { req: request } = response
    const prepared = await operations.prepare(call, params, request.method)
    const outcome = isPrepared(prepared) ? await operations.perform(prepared) : prepared
    if (outcome instanceof EventStream) return sse.stream(response, outcome, call.token?.id ?? '')
    const { result, status } = toWire(outcome)
    if (status === 200) return sse.reply(response, new EventText(JSON.stringify(result)))
    replyErrors(request, response, status, result)
  }

  return async (request, response, { query, requestId }) => {
    if (request.method === 'OPTIONS') return replyEmpty(response, 204)
    if (config.graphiql && wantsGraphiQL(request)) {
      response.setHeader('Content-Type', 'text/html; charset=utf-8')
      return replyBytes(response, 200, await graphiqlPage())
    }
    try {
      const client = new RequestClient(request, config.trustProxy)
      const token = await identify(services, client, tokenOf(request))
      const call = new Call(services, { client, requestId, token }, new HttpAnswer(response))
      try {
        const params = await prepare(request, response, query)
        if (await operations.fastRoad.answer(call, params, response)) return
        if (answersWithEvents(request, operations.isSubscription(params))) {
          return await answerWithEvents(call, checkParams(params), response)
        }
      } catch (refusal) {
        await call.chargeRefusal()
        throw refusal
      }
      // Yoga knows neither an empty header nor what is expressly not accepted.
      request.headers.accept = acceptedBy(request).types.join(',')
      await send(response, await operations.yoga.handleNodeRequestAndResponse(request, response, { call }))
    } catch (failure) {
      if (response.headersSent) throw failure
      const error = presentFailure(failure, requestId, services.logger)
      replyErrors(request, response, error.status, { errors: [error] })
    }
  }
}

/** Writes what Yoga answered; headers that are set already stay. */
async function send(response: ServerResponse, answer: Response): Promise<void> {
  answer.headers.forEach((value, name) => response.setHeader(usualCase(name), value))
  replyText(response, answer.status, await answer.text())
}

/** `Content-Type`, where fetch says `content-type`. */
const usualCase = (name: string): string => name.replace(/\b[a-z]/g, (letter) => letter.toUpperCase())

/** Checks the form of the request and reads what is asked; Yoga finds the body parsed. */
async function prepare(
  request: IncomingMessage,
  response: ServerResponse,
  query: string,
): Promise<Partial<OperationParams>> {
  const accepted = acceptedBy(request)
  // Before anything is executed, since a mutation whose answer cannot be told has happened all the same.
  if (!accepted.json && !accepted.events) {
    throw badRequest(
      'The answer is application/graphql-response+json, application/json or text/event-stream: accept one of them',
      406,
    )
  }
  if (request.method === 'POST') {
    const body = await readJsonBody(request)
    if (Array.isArray(body)) throw badRequest('Batches are not possible: send one operation in a request')
    if (typeof body !== 'object' || body === null || Object.keys(body).length === 0) {
      throw badRequest('The body has to be a JSON object with the key "query"')
    }
    // Some clients send an empty name for none.
    if ('operationName' in body && body.operationName === '') delete body.operationName
    Object.assign(request, { body })
    return body
  }
  if (request.method === 'GET') {
    const parameters = new URLSearchParams(query)
    refuseBrokenJson('extensions', parameters.get('extensions'))
    return {
      query: parameters.get('query') ?? undefined,
      variables: refuseBrokenJson('variables', parameters.get('variables')),
      operationName: parameters.get('operationName') || undefined,
    } as Partial<OperationParams>
  }
  response.setHeader('Allow', 'GET, POST, OPTIONS')
  throw badRequest('Method not allowed', 405)
}

/** What Yoga checks where it answers. */
function checkParams({ query, variables, operationName }: Partial<OperationParams>): OperationParams {
  if (typeof query !== 'string') throw badRequest('"query" has to be a text')
  if (variables != null && (typeof variables !== 'object' || Array.isArray(variables))) {
    throw badRequest('"variables" has to be an object')
  }
  if (operationName != null && typeof operationName !== 'string') throw badRequest('"operationName" has to be a text')
  return { query, variables, operationName }
}

/**
 * Whether the answer is a stream of events: a subscription's always is, that of others when nothing else is accepted.
 * @throws GatewayError 406 for a subscription whose events are not accepted
 */
function answersWithEvents(request: IncomingMessage, isSubscription: boolean): boolean {
  const accepted = acceptedBy(request)
  if (isSubscription && !accepted.events) {
    throw badRequest('The answer to a subscription is a stream: accept text/event-stream, or use a WebSocket', 406)
  }
  return isSubscription || !accepted.json
}

function refuseBrokenJson(name: string, text: string | null): unknown {
  try {
    return text ? JSON.parse(text) : undefined
  } catch {
    throw badRequest(`The parameter "${name}" is not JSON`)
  }
}

/** An answer that consists of errors alone. */
function replyErrors(
  request: IncomingMessage,
  response: ServerResponse,
  status: number,
  { errors = [] }: ExecutionResult,
): void {
  const retryAfter = errors[0]?.extensions.retryAfter
  if (retryAfter !== undefined) response.setHeader('Retry-After', String(retryAfter))
  const mediaType = acceptedBy(request).graphqlJson ? GRAPHQL_JSON : 'application/json'
  const body = JSON.stringify({ errors: errors.map(({ message, extensions }) => ({ message, extensions })) })
  replyJson(response, status, body, `${mediaType}; charset=utf-8`)
}
