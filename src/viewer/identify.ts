import type { IncomingMessage } from 'node:http'
import { type GatewayError, unauthenticated } from '../errors.ts'
import { clientAddressOf } from '../http/client-address.ts'
import { rateLimited } from '../rate-limit.ts'
import type { Services } from '../services.ts'
import { authenticate } from './authenticate.ts'
import type { Viewer } from './viewer.ts'

/**
 * The viewer of a request, or null when it carries no token.
 * @throws GatewayError for a token that is unknown or revoked
 */
export async function identify(services: Services, request: IncomingMessage): Promise<Viewer | null> {
  const viewer = await authenticate(services, request)
  if (viewer === 'invalid') throw await refuse(services, request)
  return viewer
}

/** What a request without a valid token is told: 401, or 429 once its address has guessed too often. */
export async function refuse({ limiter, config }: Services, request: IncomingMessage): Promise<GatewayError> {
  const charge = await limiter.chargeFailure(clientAddressOf(request, config.trustProxy))
  return charge.granted ? unauthenticated() : rateLimited(charge)
}
