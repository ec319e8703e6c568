import {
  type DocumentNode,
  type ExecutionArgs,
  type ExecutionResult,
  getOperationAST,
  type GraphQLError,
  OperationTypeNode,
  parse,
} from 'graphql'
import { createYoga, type YogaServerInstance } from 'graphql-yoga'
import type { Services } from '../services.ts'
import type { Call, ServerContext } from './call.ts'
import { Source } from '../source.ts'
import { EventStream } from './event-stream.ts'
import { createFastRoad, type FastRoad } from './fast-road/fast-road.ts'
import { MAX_TOKENS } from './limits.ts'
import {
  createDocumentCache,
  useAdmission,
  useErrorPresentation,
  useFastRoad,
  useLimits,
  useSources,
} from './plugins.ts'
import { presentResult } from './present-errors.ts'
import { schema } from './schema.ts'
import { SharedEvents } from './shared-events.ts'

/** What a client asks for, by whatever transport. */
export type OperationParams = {
  query: string
  variables?: Record<string, unknown> | null | undefined
  operationName?: string | null | undefined
}

/** An operation that was parsed and validated. */
export type PreparedOperation = ExecutionArgs & {
  contextValue: ServerContext
  execute(args: ExecutionArgs): ExecutionResult | Promise<ExecutionResult>
  /** The events themselves, which are executed where they are read. */
  subscribe(args: ExecutionArgs): Promise<ExecutionResult | Source<object>>
}

/** GraphQL without a transport: the same parsing, validation, limits and admission for all of them. */
export type Operations = {
  /** Asked first by HTTP; what it leaves goes to Yoga. */
  fastRoad: FastRoad
  /** Serves single results over HTTP. */
  yoga: YogaServerInstance<ServerContext, object>
  isSubscription(params: Partial<OperationParams>): boolean
  /** The operation, or the result that it is refused with. */
  prepare(call: Call, params: OperationParams, method?: string): Promise<PreparedOperation | ExecutionResult>
  /** Executes what was prepared; the result is presented, a subscription is open. */
  perform(operation: PreparedOperation): Promise<ExecutionResult | EventStream>
}

export const isPrepared = (prepared: PreparedOperation | ExecutionResult): prepared is PreparedOperation =>
  'document' in prepared

export function createOperations(services: Services): Operations {
  const { config, streamSlots } = services
  const documents = createDocumentCache<DocumentNode>()
  const fastRoad = createFastRoad(schema, (text) => documents.get(text))
  const sharedEvents = new SharedEvents()
  const yoga = createYoga<ServerContext>({
    schema,
    plugins: [
      useLimits(config.introspection),
      useFastRoad(fastRoad),
      useAdmission(),
      useSources(),
      useErrorPresentation(),
    ],
    parserAndValidationCache: { documentCache: documents, errorCache: createDocumentCache() },
    // Done here, once for all of the gateway: the page, CORS, masking, the log, the limit of the body.
    graphiql: false,
    cors: false,
    maskedErrors: false,
    logging: false,
    maxRequestBodySize: false,
    multipart: false,
    landingPage: false,
  })

  /** @throws GatewayError when the token has as many streams as it may */
  const openStream = async (operation: PreparedOperation): Promise<ExecutionResult | EventStream> => {
    const { call } = operation.contextValue
    const giveBack = call.token ? streamSlots.take(call.token.id) : nothing
    try {
      const events = await operation.subscribe(operation)
      if (events instanceof Source) return new EventStream(events, sharedEvents.join(operation), call, giveBack)
      giveBack()
      return events
    } catch (error) {
      giveBack()
      throw error
    }
  }

  return {
    fastRoad,
    yoga,
    isSubscription: ({ query, operationName }) => {
      // The word is looked for first, so that queries are not parsed twice.
      if (typeof query !== 'string' || !query.includes('subscription')) return false
      try {
        const document = documents.get(query) ?? parse(query, { maxTokens: MAX_TOKENS })
        return isSubscription(document, operationName)
      } catch {
        return false
      }
    },
    prepare: async (call, params, method = 'POST') => {
      // Yoga's own plugins look at the method: a mutation does not come by GET.
      const enveloped = yoga.getEnveloped({ call, params, request: { method } })
      try {
        const document: DocumentNode = enveloped.parse(params.query)
        const errors: readonly GraphQLError[] = enveloped.validate(enveloped.schema, document)
        if (errors.length > 0) return await presentResult({ errors }, call)
        return {
          schema: enveloped.schema,
          document,
          operationName: params.operationName,
          variableValues: params.variables,
          contextValue: await enveloped.contextFactory(),
          execute: enveloped.execute,
          subscribe: enveloped.subscribe,
        }
      } catch (error) {
        return presentResult({ errors: [error as GraphQLError] }, call)
      }
    },
    perform: async (operation) => {
      const { call } = operation.contextValue
      try {
        const outcome = isSubscription(operation.document, operation.operationName)
          ? await openStream(operation)
          : await operation.execute(operation)
        return outcome instanceof EventStream ? outcome : await presentResult(outcome, call)
      } catch (error) {
        return presentResult({ errors: [error as GraphQLError] }, call)
      }
    },
  }
}

const nothing = () => {}

const isSubscription = (document: DocumentNode, operationName: string | null | undefined): boolean =>
  getOperationAST(document, operationName)?.operation === OperationTypeNode.SUBSCRIPTION
