import type { IncomingMessage } from 'node:http'
import { type GatewayError, unauthenticated } from '../errors.ts'
import { clientAddressOf } from '../http/client-address.ts'
import { rateLimited } from '../rate-limit.ts'
import type { Services } from '../services.ts'
import type { LiveToken } from '../token/queries.ts'
import { authenticate, tokenOf } from './authenticate.ts'

/**
 * The live token of a request, or null when it carries none.
 * @param sent the token, where it does not stand in the headers
 * @throws GatewayError for a token that is unknown or revoked
 */
export async function identify(
  services: Services,
  request: IncomingMessage,
  sent = tokenOf(request),
): Promise<LiveToken | null> {
  const token = await authenticate(services, sent)
  if (token === 'invalid') throw await refuse(services, request)
  return token
}

/** What a request without a valid token is told: 401, or 429 once its address has guessed too often. */
export async function refuse({ limiter, config }: Services, request: IncomingMessage): Promise<GatewayError> {
  const charge = await limiter.chargeFailure(clientAddressOf(request, config.trustProxy))
  return charge.granted ? unauthenticated() : rateLimited(charge)
}
