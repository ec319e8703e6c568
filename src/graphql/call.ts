import type { ServerResponse } from 'node:http'
import type { Client } from '../http/client-address.ts'
import { setRateLimitHeaders } from '../http/headers.ts'
import { type Budget, type Charge, rateLimited, resetTimeOf } from '../rate-limit.ts'
import type { Services } from '../services.ts'
import type { LiveToken } from '../token/queries.ts'
import { principalOf, type Viewer } from '../viewer/viewer.ts'

/** Where the viewer is told the state of its bucket, and that the answer is secret: each transport has its own place. */
export type CallAnswer = {
  tellCharge(charge: Charge): void
  /** The answer has a secret in it that is shown this once. */
  forbidStoring(): void
}

/** An answer over HTTP: what is told stands in headers. */
export class HttpAnswer implements CallAnswer {
  readonly #response: ServerResponse

  constructor(response: ServerResponse) {
    this.#response = response
  }

  tellCharge(charge: Charge): void {
    setRateLimitHeaders(this.#response, charge)
  }

  forbidStoring(): void {
    this.#response.setHeader('Cache-Control', 'no-store')
  }
}

/** One GraphQL operation on its way through the gateway. */
export class Call {
  readonly services: Services
  readonly client: Client
  readonly requestId: string
  /** null: no token was sent; such a call may introspect and nothing else. */
  readonly token: LiveToken | null
  readonly #answer: CallAnswer
  /** What was counted last; null while nothing was. */
  #charge: Charge | null = null

  constructor(
    services: Services,
    { client, requestId, token }: Pick<Call, 'client' | 'requestId' | 'token'>,
    answer: CallAnswer,
  ) {
    this.services = services
    this.client = client
    this.requestId = requestId
    this.token = token
    this.#answer = answer
  }

  get viewer(): Viewer | null {
    return this.token?.viewer ?? null
  }

  /**
   * Counts the call as `requests` of the viewer's minute, once, however many roads it takes.
   * @throws GatewayError RATE_LIMITED
   */
  async charge(viewer: Viewer, requests: number): Promise<Charge> {
    this.#charge ??= await this.services.limiter.charge(principalOf(viewer), requests)
    this.#answer.tellCharge(this.#charge)
    return granted(this.#charge)
  }

  /**
   * Counts the call of somebody without a token.
   * @throws GatewayError RATE_LIMITED
   */
  async chargeAnonymous(requests: number): Promise<void> {
    this.#charge = await this.services.limiter.chargeAnonymous(this.client.address, requests)
    granted(this.#charge)
  }

  /**
   * Counts a guess at a token that is not the caller's, as a failed authentication.
   * @throws GatewayError RATE_LIMITED
   */
  async chargeFailedGuess(): Promise<void> {
    granted(await this.services.limiter.chargeFailure(this.client.address))
  }

  forbidStoring(): void {
    this.#answer.forbidStoring()
  }

  /** What was left of the viewer's minute when the call was counted; absent before. */
  get budget(): Budget | undefined {
    return this.#charge?.budget
  }

  /** The state of the bucket for answers that have no headers: `retryAfter` is 0 while requests remain. */
  budgetAsExtensions(): Record<string, unknown> {
    if (!this.#charge) return {}
    const { granted, budget, resetAfterSeconds, retryAfterSeconds } = this.#charge
    return {
      ...budget,
      resetAt: resetTimeOf(budget),
      retryAfter: granted ? (budget.remaining > 0 ? 0 : resetAfterSeconds) : retryAfterSeconds,
    }
  }

  /**
   * Counts one request for a call that was refused before its fields could be counted.
   * @throws GatewayError RATE_LIMITED
   */
  async chargeRefusal(): Promise<void> {
    if (this.#charge) return
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
