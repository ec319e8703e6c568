import type { ServerResponse } from 'node:http'
import type { DocumentNode, GraphQLSchema } from 'graphql'
import { Pieces, writeList } from '../../http/pieces.ts'
import { replyJson } from '../../http/reply.ts'
import type { Instance } from '../../instance/queries.ts'
import { visibleInstances } from '../../read-model/visible.ts'
import { tenantOf, type Viewer } from '../../viewer/viewer.ts'
import type { Call } from '../call.ts'
import { type Asked, Plan } from './plan.ts'
import { oneByte, orNull } from './readers.ts'

/** The answer's type by the `Accept` of the request; any other one is weighed by the general road. */
const MEDIA_TYPES = new Map([
  [undefined, 'application/json'],
  ['*/*', 'application/json'],
  ['application/json', 'application/json'],
  ['application/graphql-response+json', 'application/graphql-response+json'],
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
      const { viewer, request } = call
      const mediaType = MEDIA_TYPES.get(request.headers.accept)
      if (request.method !== 'POST' || !viewer || !mediaType) return false
      const found = planOf(params)
      const asked = found && orNull(() => found.plan.ask(viewer, found.parameters.variables))
      if (!asked) return false
      const body = await write(call, viewer, asked).catch(() => null)
      if (!body) return false
      replyJson(response, 200, body, `${mediaType}; charset=utf-8`)
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
async function write(call: Call, viewer: Viewer, asked: readonly Asked[]): Promise<Buffer | null> {
  const { readModel, sessions } = call.services
  if (!readModel.isCurrent()) return null
  await call.charge(viewer, Math.max(1, asked.length))
  const statusOf = (instance: Instance) => sessions.statusOf(instance)
  const body = new Pieces()
  body.add('{"data":{')
  for (const [index, root] of asked.entries()) {
    body.add(`${index === 0 ? '' : ','}${JSON.stringify(oneByte(root.key))}:`)
    if (root.name === '__typename') {
      body.add('"Query"')
      continue
    }
    const { filter, selection } = root
    const account = readModel.account(tenantOf(viewer))
    if (!account) return null
    const records = await visibleInstances(account, viewer, filter)
    await account.load(records, selection.blocks)
    if (root.name === 'instances') writeList(body, records, (record) => selection.write(record, body, statusOf))
    else if (records[0]) selection.write(records[0], body, statusOf)
    else body.add('null')
  }
  body.add('}}')
  return body.join()
}
