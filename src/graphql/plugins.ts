import {
  createSourceEventStream,
  type DocumentNode,
  type ExecutionArgs,
  type ExecutionResult,
  getOperationAST,
  type GraphQLError,
  NoSchemaIntrospectionCustomRule,
  parse,
} from 'graphql'
import type { Plugin } from 'graphql-yoga'
import { LRUCache } from 'lru-cache'
import { GatewayError } from '../errors.ts'
import { Loaders } from '../loaders.ts'
import { refuse } from '../viewer/identify.ts'
import type { ServerContext } from './call.ts'
import type { Context } from './context.ts'
import type { FastRoad } from './fast-road/fast-road.ts'
import { findExcess, MAX_TOKENS } from './limits.ts'
import { presentResult } from './present-errors.ts'
import { rootFieldsOf, writtenRootFields } from './root-fields.ts'

type GatewayPlugin = Plugin<ServerContext & Partial<Context>, ServerContext>

/** Refuses documents that are too long, deep or broad, before the costly rules of validation see them. */
export function useLimits(introspection: boolean): GatewayPlugin {
  const excess = new WeakMap<DocumentNode, GatewayError | null>()
  return {
    onParse: ({ setParseFn }) => setParseFn(parseLimited),
    onValidate: ({ params, setResult, addValidationRule }) => {
      if (!introspection) addValidationRule(NoSchemaIntrospectionCustomRule)
      const document: DocumentNode = params.documentAST
      if (!excess.has(document)) excess.set(document, findExcess(document))
      const error = excess.get(document)
      if (error) setResult([error])
    },
  }
}

function parseLimited(source: string): DocumentNode {
  try {
    return parse(source, { maxTokens: MAX_TOKENS })
  } catch (error) {
    if (/more tha[nt] \d+ tokens/.test((error as GraphQLError).message)) {
      throw new GatewayError(
        'QUERY_TOO_COMPLEX',
        `The document has more than ${MAX_TOKENS} tokens. Use variables, or ask in several requests`,
      )
    }
    throw error
  }
}

/** Remembers what was parsed, bounded by the length of the documents and not by their number alone. */
export const createDocumentCache = <Value extends object>() =>
  new LRUCache<string, Value>({
    max: 500,
    maxSize: 2_000_000,
    maxEntrySize: 16_384,
    sizeCalculation: (_value, source) => source.length + 1,
  })

/** Shows the fast road what it may take from now on. */
export const useFastRoad = (fastRoad: FastRoad): GatewayPlugin => ({
  onExecute: ({ args }) => fastRoad.learn(args.document),
})

/** Lets an operation through when its viewer may execute it and can pay for it, and gives resolvers their context. */
export function useAdmission(): GatewayPlugin {
  const admitOrStop: AdmissionHook = async ({ args, extendContext, setResultAndStopExecution }) => {
    try {
      const context = await admit(args)
      if (context) extendContext(context)
    } catch (error) {
      setResultAndStopExecution({ errors: [error as GraphQLError] })
    }
  }
  return { onExecute: admitOrStop, onSubscribe: admitOrStop }
}

/** A subscription gives its events; they are executed where they are read. */
export const useSources = (): GatewayPlugin => ({
  onSubscribe: ({ setSubscribeFn }) => setSubscribeFn(createSourceEventStream),
})

/** What the hooks before an execution and before a subscription have in common. */
type AdmissionHook = (hook: {
  args: ExecutionArgs
  extendContext(context: Omit<Context, 'call'>): void
  setResultAndStopExecution(result: ExecutionResult): void
}) => Promise<void>

/**
 * The context of an operation that was let through and counted; null for introspection without a token.
 * @throws GatewayError
 */
async function admit(args: ExecutionArgs): Promise<Omit<Context, 'call'> | null> {
  const { call } = args.contextValue as ServerContext
  const { services, viewer } = call
  const operation = getOperationAST(args.document, args.operationName)
  if (!operation) return null
  // Before variables are looked at, which would tell a stranger about the schema.
  if (!viewer && ![...writtenRootFields(args.document, operation)].every((name) => name.startsWith('__'))) {
    throw await refuse(services, call.client)
  }
  const rootFields = rootFieldsOf(args.schema, args.document, operation, args.variableValues)
  if (!viewer) {
    await call.chargeAnonymous(rootFields.length)
    return null
  }
  if (operation.operation === 'subscription' && rootFields.length === 0) {
    throw new GatewayError('GRAPHQL_VALIDATION_FAILED', 'A subscription has one field, and this one skips it')
  }
  const { rateLimitPerMinute } = services.config
  if (rootFields.length > rateLimitPerMinute) {
    throw new GatewayError(
      'QUERY_TOO_COMPLEX',
      `The operation has ${rootFields.length} root fields, each of them a request; at most ${rateLimitPerMinute} are possible in a minute. Ask in several operations`,
    )
  }
  const { budget } = await call.charge(viewer, Math.max(1, rootFields.length))
  return { viewer, services, loaders: new Loaders(services, viewer), budget }
}

/** The last look at a result: counts what was refused before execution, and shows users only errors meant for them. */
export function useErrorPresentation(): GatewayPlugin {
  return {
    onResultProcess: async ({ result, setResult, serverContext: { call } }) => {
      if (Array.isArray(result) || Symbol.asyncIterator in result) return
      setResult(await presentResult(result, call))
    },
  }
}
