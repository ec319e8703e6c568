import type { IncomingMessage, ServerResponse } from 'node:http'
import { badUserInput, instanceNotFound } from '../errors.ts'
import { setRateLimitHeaders } from '../http/headers.ts'
import { replyEmpty, replyJson } from '../http/reply.ts'
import { type NameFilter, parseInstanceNameQuery } from '../instance/filter.ts'
import { createLoaders, type Loaders } from '../loaders.ts'
import { rateLimited } from '../rate-limit.ts'
import type { Services } from '../services.ts'
import type { SessionRegistry } from '../session/registry.ts'
import { identify, refuse } from '../viewer/identify.ts'
import { principalOf, type Viewer } from '../viewer/viewer.ts'
import { etagOf, matchesEtag } from './etag.ts'
import { type ListedInstance, listBody } from './list.ts'

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
  const viewer = await identify(services, request)
  if (!viewer) throw await refuse(services, request)
  const principal = principalOf(viewer)

  const charge = await services.limiter.charge(principal, 1)
  setRateLimitHeaders(response, charge)
  if (!charge.granted) throw rateLimited(charge)

  const filter = filterFor(viewer, query)
  const listed = await load(createLoaders(services, viewer), services.sessions, filter)
  if (filter !== 'all' && filter.length === 1 && listed.length === 0) throw instanceNotFound()

  const body = JSON.stringify(listBody(listed))
  const etag = etagOf(principal, body)
  response.setHeader('ETag', etag)
  if (matchesEtag(request.headers['if-none-match'], etag)) replyEmpty(response, 304)
  else replyJson(response, 200, body)
}

/** An instance token's filter is ignored, whatever it says. */
function filterFor(viewer: Viewer, query: string): NameFilter {
  if (viewer.kind === 'instance') return 'all'
  const filter = parseInstanceNameQuery(query)
  if (filter === 'too long') throw badUserInput('instanceName', 'instanceName is too long')
  return filter
}

async function load(loaders: Loaders, sessions: SessionRegistry, filter: NameFilter): Promise<ListedInstance[]> {
  const instances = await loaders.instances.load(filter)
  return Promise.all(
    instances.map(async (instance) => {
      const [profile, webhooks, websocket, chatwoot, proxy, settings, s3] = await Promise.all([
        loaders.profile.load(instance.id),
        loaders.webhooks.load(instance.id),
        loaders.websocket.load(instance.id),
        loaders.chatwoot.load(instance.id),
        loaders.proxy.load(instance.id),
        loaders.settings.load(instance.id),
        loaders.s3.load(instance.id),
      ])
      return {
        instance,
        connection: sessions.statusOf(instance),
        profile,
        webhooks,
        websocket,
        chatwoot,
        proxy,
        settings,
        s3,
      }
    }),
  )
}
