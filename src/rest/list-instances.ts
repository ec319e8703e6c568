import type { IncomingMessage, ServerResponse } from 'node:http'
import type { ConnectionStatus } from '../connection/state.ts'
import { badUserInput, instanceNotFound } from '../errors.ts'
import { RequestClient } from '../http/client-address.ts'
import { setRateLimitHeaders } from '../http/headers.ts'
import type { Bytes } from '../http/bytes.ts'
import { JSON_TYPE, replyBytes, replyEmpty } from '../http/reply.ts'
import { type NameFilter, parseInstanceNameQuery } from '../instance/filter.ts'
import { Loaders } from '../loaders.ts'
import { rateLimited } from '../rate-limit.ts'
import { BLOCK_NAMES, type Blocks } from '../read-model/blocks.ts'
import { InstanceRecord } from '../read-model/instance-record.ts'
import { visibleInstances } from '../read-model/visible.ts'
import type { Services } from '../services.ts'
import type { SessionRegistry } from '../session/registry.ts'
import { tokenOf } from '../viewer/authenticate.ts'
import { identify, refuse } from '../viewer/identify.ts'
import { principalOf, tenantOf, type Viewer } from '../viewer/viewer.ts'
import { digestOf, etagOf, matchesEtag } from './etag.ts'
import { connectionText, itemTexts, listBody } from './list.ts'

/**
 * Documented: List Instances, `GET /api/instance/list?instanceName=`.
 * @throws GatewayError 401, 429, 400, 404, in this order
 */
export async function listInstances(
  services: Services,
  request: IncomingMessage,
  response: ServerResponse,
  query: string,
): Promise<void> {
  const client = new RequestClient(request, services.config.trustProxy)
  const token = await identify(services, client, tokenOf(request))
  if (!token) throw await refuse(services, client)
  const { viewer } = token
  const principal = principalOf(viewer)

  const charge = await services.limiter.charge(principal, 1)
  setRateLimitHeaders(response, charge)
  if (!charge.granted) throw rateLimited(charge)

  const filter = filterFor(viewer, query)
  const records = await recordsOf(services, viewer, filter)
  if (filter !== 'all' && filter.length === 1 && records.length === 0) throw instanceNotFound()

  const tagged: Bytes[] = []
  const items = records.map((record) => writeItem(record, tagged, services.sessions))
  const etag = etagOf(principal, tagged)
  response.setHeader('ETag', etag)
  if (matchesEtag(request.headers['if-none-match'], etag)) replyEmpty(response, 304)
  else {
    response.setHeader('Content-Type', JSON_TYPE)
    replyBytes(response, 200, listBody(items))
  }
}

/** An instance token's filter is ignored, whatever it says. */
function filterFor(viewer: Viewer, query: string): NameFilter {
  if (viewer.kind === 'instance') return 'all'
  const filter = parseInstanceNameQuery(query)
  if (filter === 'too long') throw badUserInput('instanceName', 'instanceName is too long')
  return filter
}

/** The instances with all of their blocks, from memory where there is any. */
async function recordsOf(services: Services, viewer: Viewer, filter: NameFilter): Promise<readonly InstanceRecord[]> {
  const { readModel } = services
  const account = readModel.isCurrent() ? readModel.account(tenantOf(viewer)) : null
  if (!account) return loadRecords(new Loaders(services, viewer), filter)
  const records = await visibleInstances(account, viewer, filter)
  await account.load(records, BLOCK_NAMES)
  return records
}

async function loadRecords(loaders: Loaders, filter: NameFilter): Promise<InstanceRecord[]> {
  const instances = await loaders.instances.load(filter)
  return Promise.all(
    instances.map(async (instance) => {
      const record = new InstanceRecord(instance)
      await Promise.all(BLOCK_NAMES.map(async (name) => record.setLoaded(name, await loaders[name].load(instance.id))))
      return record
    }),
  )
}

/** The selection that an item is, for what is kept with its record: its two texts, and what stands for them in a tag. */
const ITEM = {}

const writeConnection = (status: ConnectionStatus): string[] => [connectionText(status)]

function writeItem(record: InstanceRecord, tagged: Bytes[], sessions: SessionRegistry): Bytes {
  const { instance, blocks } = record
  const written = record.written(ITEM, () => {
    const texts = itemTexts(instance, blocks as Blocks)
    return [...texts, digestOf(texts.join(''))]
  })
  const [before, after, digest] = written.rows as [Bytes, Bytes, Bytes]
  const [connection] = written.connections(sessions.statusOf(instance), writeConnection) as [Bytes]
  tagged.push(digest, connection)
  return (before + connection + after) as Bytes
}
