import { getGraphQLRateLimiter, type Store } from 'graphql-rate-limit'
import { GatewayError } from './errors.ts'
import type { SharedPlaces } from './shared-places.ts'
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
/** Seconds that somebody who wants to pair is asked to wait while nodes count by themselves. */
const PAIRING_RETRY_SECONDS = 5

/** A bucket as its owner may see it. */
export type Budget = {
  /** Requests per minute. */
  limit: number
  /** Requests still possible now. */
  remaining: number
  /** When at least one more request is possible: Unix time in seconds, rounded up. */
  resetAt: number
}

export type Charge = {
  granted: boolean
  budget: Budget
  /** Until at least one more request is possible: `resetAt`, by no clock of ours. */
  resetAfterSeconds: number
  retryAfterSeconds: number
}

/** Who counts: this node alone, Redis for all nodes, or this node within its share while Redis is away. */
export const LIMITER_MODES = ['alone', 'shared', 'share'] as const
export type LimiterMode = (typeof LIMITER_MODES)[number]

export type RateLimiter = {
  /** Counts `requests` against a principal's minute: all of them or, when they do not fit, none. */
  charge(principal: string, requests: number): Promise<Charge>
  /** Counts one creation of an instance against an account's minute, inside the common limit. */
  chargeCreation(principal: string): Promise<Charge>
  /** Counts what is asked without a token, introspection, against a client address. */
  chargeAnonymous(address: string, requests: number): Promise<Charge>
  /** Counts one failed authentication against a client address; a valid token is never asked about. */
  chargeFailure(address: string): Promise<Charge>
  mode(): LimiterMode
}

/**
 * Rate limits on graphql-rate-limit. Its read and its write are two steps, which loses count under concurrency, so the
 * store reserves atomically while it is read, and writing is left out.
 * @param shared what all nodes count in; absent: this is the only node
 * @param onShare told of each request that this node's own share decided on
 */
export function createRateLimiter(
  perMinute: number,
  { now, shared, onShare }: { now?: () => number; shared?: SharedPlaces | null; onShare?: () => void } = {},
): RateLimiter {
  const createBucket = (name: string, limit: number, maxKeys?: number): Bucket => {
    const own = new SlidingLogs(shared ? () => shared.shareOf(limit) : limit, WINDOW_MS, {
      ...(now && { now }),
      ...(maxKeys && { maxKeys }),
    })
    if (!shared) return { limit, reserve: (key, places) => own.reserve(key, places) }
    return {
      limit,
      reserve: async (key, places) => {
        const reservation = await shared.reserve(`${name}:${key}`, places, limit, WINDOW_MS)
        if (reservation) return reservation
        onShare?.()
        return own.reserve(key, places)
      },
    }
  }
  const principals = createBucket('requests', perMinute)
  const creations = createBucket('creations', MAX_CREATIONS)
  const strangers = createBucket('anonymous', MAX_ANONYMOUS, MAX_ADDRESSES)
  const addresses = createBucket('failures', MAX_FAILURES, MAX_ADDRESSES)
  return {
    charge: (principal, requests) => charge(principals, principal, requests),
    chargeCreation: (principal) => charge(creations, principal, 1),
    chargeAnonymous: (address, requests) => charge(strangers, address, requests),
    chargeFailure: (address) => charge(addresses, address, 1),
    mode: () => (shared ? (shared.isAway() ? 'share' : 'shared') : 'alone'),
  }
}

/** At most `limit` places per key in any minute. */
type Bucket = {
  readonly limit: number
  reserve(key: string, places: number): Reservation | Promise<Reservation>
}

async function charge(bucket: Bucket, key: string, places: number): Promise<Charge> {
  const store = new ReservingStore(bucket, places)
  const limiter = getGraphQLRateLimiter({ identifyContext: () => key, store })
  // max: 1 because the store answers with one stamp for "refused" and none for "granted", which costs the same at any limit.
  const refusal = await limiter(
    { parent: null, args: {}, context: {}, info: { fieldName: 'request' } as never },
    { max: 1, readOnly: true },
  )
  return describe(store.reservation, bucket.limit, refusal === undefined)
}

/** One per call, so that what is told about the bucket comes from the same look at it. */
class ReservingStore implements Store {
  reservation!: Reservation
  readonly #bucket: Bucket
  readonly #places: number

  constructor(bucket: Bucket, places: number) {
    this.#bucket = bucket
    this.#places = places
  }

  /** At once where the count is here: every request passes, and what is known is not waited for. */
  getForIdentity({ contextIdentity }: { contextIdentity: string }): number[] | Promise<number[]> {
    const reserved = this.#bucket.reserve(contextIdentity, this.#places)
    return reserved instanceof Promise ? reserved.then((made) => this.#note(made)) : this.#note(reserved)
  }

  #note(reservation: Reservation): number[] {
    this.reservation = reservation
    return reservation.granted ? [] : [Date.now()]
  }

  setForIdentity(): void {}
}

function describe(reservation: Reservation, limit: number, granted: boolean): Charge {
  const { remaining, nextFreeMs, retryAfterMs, at = Date.now() } = reservation
  return {
    granted,
    budget: { limit, remaining, resetAt: Math.ceil((at + nextFreeMs) / 1000) },
    resetAfterSeconds: Math.ceil(nextFreeMs / 1000),
    retryAfterSeconds: Math.max(1, Math.ceil(retryAfterMs / 1000)),
  }
}

export const resetTimeOf = ({ resetAt }: Budget): Date => new Date(resetAt * 1000)

export const rateLimited = ({ budget, retryAfterSeconds }: Charge): GatewayError =>
  new GatewayError('RATE_LIMITED', 'Rate limit exceeded. Try again later.', {
    retryAfter: retryAfterSeconds,
    limit: budget.limit,
    remaining: budget.remaining,
    resetAt: resetTimeOf(budget).toISOString(),
  })

/** A new pairing may cost its owner the number, so it is not opened on a count that may be wrong. */
export const pairingClosed = (): GatewayError =>
  new GatewayError(
    'SERVICE_UNAVAILABLE',
    'New pairings are closed for a moment, because the rate limit that all nodes share cannot be reached. Try again in a few seconds',
    { retryAfter: PAIRING_RETRY_SECONDS },
  )
