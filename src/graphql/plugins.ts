import { type DocumentNode, getOperationAST, type GraphQLError, NoSchemaIntrospectionCustomRule, parse } from 'graphql'
import type { Plugin } from 'graphql-yoga'
import { LRUCache } from 'lru-cache'
import { GatewayError } from '../errors.ts'
import { createLoaders } from '../loaders.ts'
import { refuse } from '../viewer/identify.ts'
import type { ServerContext } from './call.ts'
import type { Context } from './context.ts'
import type { FastRoad } from './fast-road/fast-road.ts'
import { findExcess, MAX_TOKENS } from './limits.ts'
import { presentErrors } from './present-errors.ts'
import { rootFieldsOf } from './root-fields.ts'

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
  return {
    onExecute: async ({ args, extendContext, setResultAndStopExecution }) => {
      const { call } = args.contextValue
      const { services, viewer } = call
      const operation = getOperationAST(args.document, args.operationName)
      if (!operation) return
      try {
        const rootFields = rootFieldsOf(args.schema, args.document, operation, args.variableValues)
        if (!viewer) {
          if (rootFields.every((name) => name.startsWith('__'))) return await call.chargeAnonymous(rootFields.length)
          throw await refuse(services, call.request)
        }
        const { budget } = await call.charge(viewer, Math.max(1, rootFields.length))
        extendContext({ call, viewer, services, loaders: createLoaders(services, viewer), budget })
      } catch (error) {
        setResultAndStopExecution({ errors: [error as GraphQLError] })
      }
    },
  }
}

/** The last look at a result: counts what was refused before execution, and shows users only errors meant for them. */
export function useErrorPresentation(): GatewayPlugin {
  return {
    onResultProcess: async ({ result, setResult, serverContext: { call } }) => {
      if (Array.isArray(result) || Symbol.asyncIterator in result) return
      try {
        await call.chargeRefusal()
      } catch (error) {
        result = { errors: [error as GraphQLError] }
      }
      if (result.errors) setResult({ ...result, errors: presentErrors(result, call) })
    },
  }
}
