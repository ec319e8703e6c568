import { getGraphQLRateLimiter, type Store } from 'graphql-rate-limit'
import { GatewayError } from './errors.ts'
import { type Reservation, SlidingLogs } from './sliding-log.ts'

const WINDOW_MS = 60_000
/** Failed authentications per minute and client address. */
const MAX_FAILURES = 60
/** Root fields of introspection without a token, per minute and client address. */
const MAX_ANONYMOUS = 600
/** Instances that an account may create per minute. */
const MAX_CREATIONS = 20
/** Addresses remembered at most, since a guesser may have any number of them. */
const MAX_ADDRESSES = 100_000

/** A bucket as its owner may see it. */
export type Budget = {
  /** Requests per minute. */
  limit: number
  /** Requests still possible now. */
  remaining: number
  /** When at least one more request is possible, in whole seconds rounded up. */
  resetAt: Date
}

export type Charge = { granted: boolean; budget: Budget; retryAfterSeconds: number }

export type RateLimiter = {
  /** Counts `requests` against a principal's minute: all of them or, when they do not fit, none. */
  charge(principal: string, requests: number): Promise<Charge>
  /** Counts one creation of an instance against an account's minute, inside the common limit. */
  chargeCreation(principal: string): Promise<Charge>
  /** Counts what is asked without a token, introspection, against a client address. */
  chargeAnonymous(address: string, requests: number): Promise<Charge>
  /** Counts one failed authentication against a client address; a valid token is never asked about. */
  chargeFailure(address: string): Promise<Charge>
}

/**
 * Rate limits on graphql-rate-limit. Its read and its write are two steps, which loses count under concurrency, so the
 * store reserves atomically while it is read, and writing is left out.
 */
export function createRateLimiter(perMinute: number, now?: () => number): RateLimiter {
  const clock = now && { now }
  const principals = new SlidingLogs(perMinute, WINDOW_MS, { ...clock })
  const creations = new SlidingLogs(MAX_CREATIONS, WINDOW_MS, { ...clock })
  const strangers = new SlidingLogs(MAX_ANONYMOUS, WINDOW_MS, { ...clock, maxKeys: MAX_ADDRESSES })
  const addresses = new SlidingLogs(MAX_FAILURES, WINDOW_MS, { ...clock, maxKeys: MAX_ADDRESSES })
  return {
    charge: (principal, requests) => charge(principals, perMinute, principal, requests),
    chargeCreation: (principal) => charge(creations, MAX_CREATIONS, principal, 1),
    chargeAnonymous: (address, requests) => charge(strangers, MAX_ANONYMOUS, address, requests),
    chargeFailure: (address) => charge(addresses, MAX_FAILURES, address, 1),
  }
}

async function charge(logs: SlidingLogs, limit: number, key: string, places: number): Promise<Charge> {
  const store = new ReservingStore(logs, places)
  const limiter = getGraphQLRateLimiter({ identifyContext: () => key, store })
  // max: 1 because the store answers with one stamp for "refused" and none for "granted", which costs the same at any limit.
  const refusal = await limiter(
    { parent: null, args: {}, context: {}, info: { fieldName: 'request' } as never },
    { max: 1, window: '60s', uncountRejected: true },
  )
  return describe(store.reservation, limit, refusal === undefined)
}

/** One per call, so that what is told about the bucket comes from the same look at it. */
class ReservingStore implements Store {
  reservation!: Reservation
  readonly #logs: SlidingLogs
  readonly #places: number

  constructor(logs: SlidingLogs, places: number) {
    this.#logs = logs
    this.#places = places
  }

  getForIdentity({ contextIdentity }: { contextIdentity: string }): number[] {
    this.reservation = this.#logs.reserve(contextIdentity, this.#places)
    return this.reservation.granted ? [] : [Date.now()]
  }

  setForIdentity(): void {}
}

function describe({ remaining, nextFreeMs, retryAfterMs }: Reservation, limit: number, granted: boolean): Charge {
  return {
    granted,
    budget: { limit, remaining, resetAt: new Date(Math.ceil((Date.now() + nextFreeMs) / 1000) * 1000) },
    retryAfterSeconds: Math.max(1, Math.ceil(retryAfterMs / 1000)),
  }
}

export const rateLimited = ({ budget, retryAfterSeconds }: Charge): GatewayError =>
  new GatewayError('RATE_LIMITED', 'Rate limit exceeded. Try again later.', {
    retryAfter: retryAfterSeconds,
    limit: budget.limit,
    remaining: budget.remaining,
    resetAt: budget.resetAt.toISOString(),
  })
