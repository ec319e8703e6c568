import type { IncomingMessage, ServerResponse } from 'node:http'
import { createYoga } from 'graphql-yoga'
import { badRequest, type GatewayError } from '../errors.ts'
import { presentFailure } from '../failure.ts'
import { readJsonBody } from '../http/body.ts'
import { replyEmpty, replyJson, replyText } from '../http/reply.ts'
import type { Services } from '../services.ts'
import { identify } from '../viewer/identify.ts'
import { Call, type ServerContext } from './call.ts'
import { graphiqlOptions, renderGraphiQL } from './graphiql.ts'
import { createDocumentCache, useAdmission, useErrorPresentation, useLimits } from './plugins.ts'
import { schema } from './schema.ts'

export type GraphQLHandler = (
  request: IncomingMessage,
  response: ServerResponse,
  target: { query: string; requestId: string },
) => Promise<void>

/** GraphQL over HTTP: identifies and reads the request, then lets Yoga parse, validate, execute and answer. */
export function createGraphQLHandler(services: Services): GraphQLHandler {
  const { config } = services
  const yoga = createYoga<ServerContext>({
    schema,
    plugins: [useLimits(config.introspection), useAdmission(), useErrorPresentation()],
    parserAndValidationCache: { documentCache: createDocumentCache(), errorCache: createDocumentCache() },
    graphiql: config.graphiql && graphiqlOptions,
    renderGraphiQL,
    // Done here, once for all of the gateway: CORS, masking, the log, the limit of the body.
    cors: false,
    maskedErrors: false,
    logging: false,
    maxRequestBodySize: false,
    multipart: false,
    landingPage: false,
  })

  return async (request, response, { query, requestId }) => {
    if (request.method === 'OPTIONS') return replyEmpty(response, 204)
    try {
      const viewer = await identify(services, request)
      const call = new Call(services, request, response, requestId, viewer)
      try {
        await prepare(request, response, query)
      } catch (refusal) {
        await call.chargeRefusal()
        throw refusal
      }
      await send(response, await yoga.handleNodeRequestAndResponse(request, response, { call }))
    } catch (failure) {
      replyGraphQLError(request, response, presentFailure(failure, requestId, services.logger))
    }
  }
}

/** Writes what Yoga answered; headers that are set already stay. */
async function send(response: ServerResponse, answer: Response): Promise<void> {
  if (answer.status === 406) {
    throw badRequest(
      'The answer can be application/graphql-response+json or application/json: send Accept with one of them',
      406,
    )
  }
  answer.headers.forEach((value, name) => response.setHeader(name, value))
  replyText(response, answer.status, await answer.text())
}

/** Checks the form of the request and reads its body, which Yoga then finds parsed. */
async function prepare(request: IncomingMessage, response: ServerResponse, query: string): Promise<void> {
  if (request.method === 'POST') {
    const body = await readJsonBody(request)
    if (Array.isArray(body)) throw badRequest('Batches are not possible: send one operation in a request')
    if (typeof body !== 'object' || body === null || Object.keys(body).length === 0) {
      throw badRequest('The body has to be a JSON object with the key "query"')
    }
    Object.assign(request, { body })
  } else if (request.method === 'GET') {
    const parameters = new URLSearchParams(query)
    for (const name of ['variables', 'extensions']) refuseBrokenJson(name, parameters.get(name))
  } else {
    response.setHeader('Allow', 'GET, POST, OPTIONS')
    throw badRequest('Method not allowed', 405)
  }
}

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
