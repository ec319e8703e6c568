import { type GatewayError, unauthenticated } from '../errors.ts'
import type { Client } from '../http/client-address.ts'
import { rateLimited } from '../rate-limit.ts'
import type { Services } from '../services.ts'
import type { LiveToken } from '../token/queries.ts'
import { authenticate, type SentToken } from './authenticate.ts'

/**
 * The live token of what a client sent, or null when it sent none.
 * @throws GatewayError for a token that is unknown or revoked
 */
export async function identify(services: Services, client: Client, sent: SentToken): Promise<LiveToken | null> {
  const token = await authenticate(services, sent)
  if (token === 'invalid') throw await refuse(services, client)
  return token
}

/** What is told without a valid token: 401, or 429 once its address has guessed too often. */
export async function refuse({ limiter }: Services, client: Client): Promise<GatewayError> {
  const charge = await limiter.chargeFailure(client.address)
  return charge.granted ? unauthenticated() : rateLimited(charge)
}
