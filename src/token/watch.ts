import type { Kysely } from 'kysely'
import type { DB } from '../db/types.ts'
import { type GatewayError, serviceUnavailable, unauthenticated } from '../errors.ts'
import type { Logger } from '../logger.ts'
import { listLiveTokens } from './queries.ts'

const LOOK_EVERY_MS = 500
/**
 * How long streams go on whose token cannot be looked at. What this process revokes ends without a look, but somebody
 * else may reach the database still.
 */
const UNVERIFIED_MS = 60_000
/** How long streams have to tell of a deletion that ends them. */
const FAREWELL_MS = 50

/** What is open for a token, and ends with it for a reason. */
type Held = { end(reason: GatewayError): void }

/** Whether the tokens of what is open are still good: streams and sockets outlive the look at their token. */
export type TokenWatch = {
  /**
   * Something is open for a token from now on, and is ended once, when it has to end.
   * @throws GatewayError SERVICE_UNAVAILABLE when the gateway is stopping
   */
  hold(tokenId: string, held: Held): void
  /** It has ended, by itself or not. */
  release(tokenId: string, held: Held): void
  /** This process revoked the tokens: ends what is open for them at once, unasked. To be called after the commit. */
  end(tokenIds: readonly string[]): void
  /** The same for tokens that were deleted with their owner, once their streams have told of it. */
  endSoon(tokenIds: readonly string[]): void
  /** Ends all that is open, and lets nothing new in. */
  endAll(): void
}

type Watched = { held: Set<Held>; verifiedAt: number }

/** One statement for all tokens with something open, so that a revocation by another process is seen, too. */
export function watchTokens(db: Kysely<DB>, logger: Logger, unverifiedMs = UNVERIFIED_MS): TokenWatch {
  const watched = new Map<string, Watched>()
  let timer: NodeJS.Timeout | undefined
  /** Those that end soon, which a look in between must not hasten. */
  const leaving = new Set<string>()
  let isLooking = false
  let isStopping = false

  const end = (tokenId: string, reason: GatewayError) => {
    const { held = [] } = watched.get(tokenId) ?? {}
    forget(tokenId)
    for (const one of held) one.end(reason)
  }

  const forget = (tokenId: string) => {
    watched.delete(tokenId)
    if (watched.size > 0) return
    clearInterval(timer)
    timer = undefined
  }

  const look = async () => {
    const asked = [...watched.keys()]
    const askedAt = performance.now()
    try {
      const live = new Set(await listLiveTokens(db, asked))
      for (const id of asked) {
        const token = watched.get(id)
        if (token) token.verifiedAt = askedAt
        if (!live.has(id) && !leaving.has(id)) end(id, unauthenticated())
      }
    } catch (error) {
      logger.debug({ err: error }, 'the tokens of open streams could not be looked at')
      for (const [id, { verifiedAt }] of watched) {
        if (performance.now() - verifiedAt > unverifiedMs) end(id, serviceUnavailable())
      }
    }
  }

  const lookAgain = async () => {
    if (isLooking) return
    isLooking = true
    await look()
    isLooking = false
  }

  const endRevoked = (tokenIds: readonly string[]) => {
    for (const id of tokenIds) end(id, unauthenticated())
  }

  return {
    hold: (tokenId, one) => {
      if (isStopping) throw serviceUnavailable()
      const token = watched.get(tokenId) ?? { held: new Set<Held>(), verifiedAt: performance.now() }
      watched.set(tokenId, token)
      token.held.add(one)
      timer ??= setInterval(lookAgain, LOOK_EVERY_MS).unref()
    },
    release: (tokenId, one) => {
      const token = watched.get(tokenId)
      token?.held.delete(one)
      if (token?.held.size === 0) forget(tokenId)
    },
    end: endRevoked,
    endSoon: (tokenIds) => {
      for (const id of tokenIds) leaving.add(id)
      setTimeout(() => {
        for (const id of tokenIds) leaving.delete(id)
        endRevoked(tokenIds)
      }, FAREWELL_MS).unref()
    },
    endAll: () => {
      isStopping = true
      for (const id of watched.keys()) end(id, serviceUnavailable())
    },
  }
}
