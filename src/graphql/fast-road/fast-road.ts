import type { ServerResponse } from 'node:http'
import type { DocumentNode, GraphQLSchema } from 'graphql'
import { type Bytes, jsonList } from '../../http/bytes.ts'
import { JSON_TYPE, replyBytes } from '../../http/reply.ts'
import type { Instance } from '../../instance/queries.ts'
import { visibleInstances } from '../../read-model/visible.ts'
import { tenantOf, type Viewer } from '../../viewer/viewer.ts'
import type { Call } from '../call.ts'
import { type Asked, Plan } from './plan.ts'
import { orNull } from './writers.ts'

/** The answer's type by the `Accept` of the request; any other one is weighed by the general road. */
const MEDIA_TYPES = new Map([
  [undefined, JSON_TYPE],
  ['*/*', JSON_TYPE],
  ['application/json', JSON_TYPE],
  ['application/graphql-response+json', 'application/graphql-response+json; charset=utf-8'],
])
const PARAMETERS = new Set(['query', 'variables', 'operationName'])

type Parameters = { query: string; variables?: Record<string, unknown> | null; operationName?: string | null }

/**
 * Answers plain queries for instances from memory, past the executor. It only takes what it understands completely, and
 * answers only without any error: all else is left to the general road, which gives the same answer, or the error.
 */
export type FastRoad = {
  /** Takes note of a document that the general road has parsed, found valid, and executes. */
  learn(document: DocumentNode): void
  /** Whether it has answered. The call may have been charged when it has not; it is charged once for both roads. */
  answer(call: Call, params: object, response: ServerResponse): Promise<boolean>
}

/** @param documentOf the document of a text that the general road has parsed */
export function createFastRoad(
  schema: GraphQLSchema,
  documentOf: (text: string) => DocumentNode | undefined,
): FastRoad {
  /** null: not plain. */
  const plans = new WeakMap<DocumentNode, Plan | null>()

  const planOf = (body: object): { plan: Plan; parameters: Parameters } | null => {
    if (!isPlainRequest(body)) return null
    const document = documentOf(body.query)
    const plan = document && plans.get(document)
    if (!plan || (body.operationName != null && body.operationName !== plan.operationName)) return null
    return { plan, parameters: body }
  }

  return {
    learn: (document) => {
      if (!plans.has(document))
        plans.set(
          document,
          orNull(() => new Plan(schema, document)),
        )
    },
    answer: async (call, params, response) => {
      const { viewer } = call
      const { req: request } = response
      const mediaType = MEDIA_TYPES.get(request.headers.accept)
      if (request.method !== 'POST' || !viewer || !mediaType) return false
      const found = planOf(params)
      const asked = found && orNull(() => found.plan.ask(viewer, found.parameters.variables))
      if (!asked) return false
      const body = await write(call, viewer, asked).catch(() => null)
      if (!body) return false
      response.setHeader('Content-Type', mediaType)
      replyBytes(response, 200, body)
      return true
    },
  }
}

const isPlainRequest = (body: object): body is Parameters => {
  const { query, variables, operationName } = body as Record<string, unknown>
  return (
    typeof query === 'string' &&
    (variables == null || (typeof variables === 'object' && !Array.isArray(variables))) &&
    (operationName == null || typeof operationName === 'string') &&
    Object.keys(body).every((key) => PARAMETERS.has(key))
  )
}

/** The body, or null where there is no memory to answer from. Rejects with what the general road will meet again. */
async function write(call: Call, viewer: Viewer, asked: readonly Asked[]): Promise<Bytes | null> {
  const { readModel, sessions } = call.services
  if (!readModel.isCurrent()) return null
  await call.charge(viewer, Math.max(1, asked.length))
  const statusOf = (instance: Instance) => sessions.statusOf(instance)
  const fields: string[] = []
  for (const root of asked) {
    if (root.name === '__typename') {
      fields.push(`${root.before}"Query"`)
      continue
    }
    const { filter, selection } = root
    const account = readModel.account(tenantOf(viewer))
    if (!account) return null
    const records = await visibleInstances(account, viewer, filter)
    if (selection.blocks.length > 0) await account.load(records, selection.blocks)
    const items = records.map((record) => selection.write(record, statusOf))
    fields.push(root.before + (root.name === 'instances' ? jsonList(items) : (items[0] ?? 'null')))
  }
  return `{"data":{${fields.join(',')}}}` as Bytes
}
