import type { IncomingMessage, ServerResponse } from 'node:http'
import { presentFailure } from '../failure.ts'
import { replyEmpty } from '../http/reply.ts'
import type { Services } from '../services.ts'
import { replyError, replyGatewayError } from './errors.ts'
import { listInstances } from './list-instances.ts'

/** The route of a path, with or without a trailing slash: clients refuse redirects. */
const LIST = /^\/api\/instance\/list\/?$/

/** Answers the REST API, and every path that nobody else serves, in the documented JSON. */
export async function handleRest(
  services: Services,
  request: IncomingMessage,
  response: ServerResponse,
  { path, query, requestId }: { path: string; query: string; requestId: string },
): Promise<void> {
  // Also for a path that does not exist, or a browser would not be shown the 404.
  if (request.method === 'OPTIONS') return replyEmpty(response, 204)
  if (!LIST.test(path)) return replyError(response, 404, 'Not found')
  if (request.method !== 'GET' && request.method !== 'HEAD') {
    response.setHeader('Allow', 'GET, HEAD, OPTIONS')
    return replyError(response, 405, 'Method not allowed')
  }
  try {
    await listInstances(services, request, response, query)
  } catch (failure) {
    replyGatewayError(response, presentFailure(failure, requestId, services.logger))
  }
}
