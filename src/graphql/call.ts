import type { IncomingMessage, ServerResponse } from 'node:http'
import { clientAddressOf } from '../http/client-address.ts'
import { setRateLimitHeaders } from '../http/headers.ts'
import { type Charge, rateLimited } from '../rate-limit.ts'
import type { Services } from '../services.ts'
import { principalOf, type Viewer } from '../viewer/viewer.ts'

/** One GraphQL operation on its way through the gateway. */
export class Call {
  readonly services: Services
  readonly request: IncomingMessage
  readonly response: ServerResponse
  readonly requestId: string
  /** null: no token was sent; such a call may introspect and nothing else. */
  readonly viewer: Viewer | null
  #isCharged = false
  #charge: Promise<Charge> | null = null

  constructor(
    services: Services,
    request: IncomingMessage,
    response: ServerResponse,
    requestId: string,
    viewer: Viewer | null,
  ) {
    this.services = services
    this.request = request
    this.response = response
    this.requestId = requestId
    this.viewer = viewer
  }

  /**
   * Counts the call as `requests` of the viewer's minute, once, however many roads it takes.
   * @throws GatewayError RATE_LIMITED
   */
  async charge(viewer: Viewer, requests: number): Promise<Charge> {
    this.#isCharged = true
    this.#charge ??= this.services.limiter.charge(principalOf(viewer), requests)
    const charge = await this.#charge
    setRateLimitHeaders(this.response, charge)
    return granted(charge)
  }

  /**
   * Counts the call of somebody without a token.
   * @throws GatewayError RATE_LIMITED
   */
  async chargeAnonymous(requests: number): Promise<void> {
    this.#isCharged = true
    granted(await this.services.limiter.chargeAnonymous(this.#clientAddress, requests))
  }

  /**
   * Counts a guess at a token that is not the caller's, as a failed authentication.
   * @throws GatewayError RATE_LIMITED
   */
  async chargeFailedGuess(): Promise<void> {
    granted(await this.services.limiter.chargeFailure(this.#clientAddress))
  }

  get #clientAddress(): string {
    return clientAddressOf(this.request, this.services.config.trustProxy)
  }

  /** The answer has a secret in it that is shown this once. */
  forbidStoring(): void {
    this.response.setHeader('Cache-Control', 'no-store')
  }

  /**
   * Counts one request for a call that was refused before its fields could be counted.
   * @throws GatewayError RATE_LIMITED
   */
  async chargeRefusal(): Promise<void> {
    if (this.#isCharged) return
    if (this.viewer) await this.charge(this.viewer, 1)
    else await this.chargeAnonymous(1)
  }
}

/** @throws GatewayError RATE_LIMITED */
function granted(charge: Charge): Charge {
  if (!charge.granted) throw rateLimited(charge)
  return charge
}

/** What Yoga carries from the request to the plugins. */
export type ServerContext = { call: Call }
