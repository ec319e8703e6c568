import type { IncomingMessage, ServerResponse } from 'node:http'
import type { DocumentNode } from 'graphql'
import { createYoga } from 'graphql-yoga'
import { badRequest, type GatewayError } from '../errors.ts'
import { presentFailure } from '../failure.ts'
import { readJsonBody } from '../http/body.ts'
import { replyEmpty, replyJson, replyText } from '../http/reply.ts'
import type { Services } from '../services.ts'
import { identify } from '../viewer/identify.ts'
import { Call, type ServerContext } from './call.ts'
import { createFastRoad } from './fast-road/fast-road.ts'
import { graphiqlPage, wantsGraphiQL } from './graphiql.ts'
import { createDocumentCache, useAdmission, useErrorPresentation, useFastRoad, useLimits } from './plugins.ts'
import { schema } from './schema.ts'

export type GraphQLHandler = (
  request: IncomingMessage,
  response: ServerResponse,
  target: { query: string; requestId: string },
) => Promise<void>

/** GraphQL over HTTP: identifies and reads the request, then lets Yoga parse, validate, execute and answer. */
export function createGraphQLHandler(services: Services): GraphQLHandler {
  const { config } = services
  const documentCache = createDocumentCache<DocumentNode>()
  const fastRoad = createFastRoad(schema, (text) => documentCache.get(text))
  const yoga = createYoga<ServerContext>({
    schema,
    plugins: [useLimits(config.introspection), useFastRoad(fastRoad), useAdmission(), useErrorPresentation()],
    parserAndValidationCache: { documentCache, errorCache: createDocumentCache() },
    // Done here, once for all of the gateway: the page, CORS, masking, the log, the limit of the body.
    graphiql: false,
    cors: false,
    maskedErrors: false,
    logging: false,
    maxRequestBodySize: false,
    multipart: false,
    landingPage: false,
  })

  return async (request, response, { query, requestId }) => {
    if (request.method === 'OPTIONS') return replyEmpty(response, 204)
    if (config.graphiql && wantsGraphiQL(request)) {
      response.setHeader('Content-Type', 'text/html; charset=utf-8')
      return replyText(response, 200, await graphiqlPage())
    }
    try {
      const viewer = await identify(services, request)
      const call = new Call(services, request, response, requestId, viewer)
      const body = await prepare(request, response, query).catch(async (refusal) => {
        await call.chargeRefusal()
        throw refusal
      })
      if (body && (await fastRoad.answer(call, body))) return
      await send(response, await yoga.handleNodeRequestAndResponse(request, response, { call }))
    } catch (failure) {
      replyGraphQLError(request, response, presentFailure(failure, requestId, services.logger))
    }
  }
}

/** Writes what Yoga answered; headers that are set already stay. */
async function send(response: ServerResponse, answer: Response): Promise<void> {
  answer.headers.forEach((value, name) => response.setHeader(name, value))
  replyText(response, answer.status, await answer.text())
}

/** Checks the form of the request and reads the body of a POST, which Yoga then finds parsed. */
async function prepare(request: IncomingMessage, response: ServerResponse, query: string): Promise<object | null> {
  if (!acceptsJson(request.headers.accept)) {
    throw badRequest('The answer is application/graphql-response+json or application/json: accept one of them', 406)
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
    for (const name of ['variables', 'extensions']) refuseBrokenJson(name, parameters.get(name))
    return null
  }
  response.setHeader('Allow', 'GET, POST, OPTIONS')
  throw badRequest('Method not allowed', 405)
}

/** Checked before anything is executed, since a mutation whose answer cannot be told has happened all the same. */
const acceptsJson = (accept = '*/*'): boolean =>
  accept.split(',').some((type) => /^\s*(\*\/\*|application\/(\*|json|graphql-response\+json))\s*(;|$)/i.test(type))

function refuseBrokenJson(name: string, text: string | null): void {
  try {
    if (text) JSON.parse(text)
  } catch {
    throw badRequest(`The parameter "${name}" is not JSON`)
  }
}

function replyGraphQLError(request: IncomingMessage, response: ServerResponse, error: GatewayError): void {
  if (error.details.retryAfter !== undefined) response.setHeader('Retry-After', error.details.retryAfter)
  const mediaType = request.headers.accept?.includes('application/graphql-response+json')
    ? 'application/graphql-response+json'
    : 'application/json'
  const body = JSON.stringify({ errors: [{ message: error.message, extensions: error.extensions }] })
  replyJson(response, error.status, body, `${mediaType}; charset=utf-8`)
}
