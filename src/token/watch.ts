import type { Kysely } from 'kysely'
import type { DB } from '../db/types.ts'
import { type GatewayError, serviceUnavailable, unauthenticated } from '../errors.ts'
import type { Logger } from '../logger.ts'
import { listLiveTokens } from './queries.ts'

const LOOK_EVERY_MS = 500
/**
 * How long streams go on whose token cannot be looked at. Nobody can revoke a token while the database is away, but one
 * may have been revoked by somebody who still reaches it.
 */
const UNVERIFIED_MS = 60_000

/** Ends what is open for a token, with the reason. */
type End = (reason: GatewayError) => void

/** Whether the tokens of what is open are still good: streams and sockets outlive the look at their token. */
export type TokenWatch = {
  /**
   * Something is open for a token from now on; `end` is called once, when it has to end. Returns the function to call
   * when it has ended by itself.
   * @throws GatewayError SERVICE_UNAVAILABLE when the gateway is stopping
   */
  hold(tokenId: string, end: End): () => void
  /** Tokens may have ended in this process: looks at once. To be called after the commit. */
  lookNow(): void
  /** Ends all that is open, and lets nothing new in. */
  endAll(): void
}

type Watched = { ends: Set<End>; verifiedAt: number }

/** One statement for all tokens with something open, so that a revocation by another process is seen, too. */
export function watchTokens(db: Kysely<DB>, logger: Logger, unverifiedMs = UNVERIFIED_MS): TokenWatch {
  const watched = new Map<string, Watched>()
  let timer: NodeJS.Timeout | undefined
  let looking: 'no' | 'yes' | 'and again' = 'no'
  let isStopping = false

  const end = (tokenId: string, reason: GatewayError) => {
    const { ends = [] } = watched.get(tokenId) ?? {}
    forget(tokenId)
    for (const endOne of ends) endOne(reason)
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
        if (!live.has(id)) end(id, unauthenticated())
      }
    } catch (error) {
      logger.debug({ err: error }, 'the tokens of open streams could not be looked at')
      for (const [id, { verifiedAt }] of watched) {
        if (performance.now() - verifiedAt > unverifiedMs) end(id, serviceUnavailable())
      }
    }
  }

  const lookNow = async () => {
    if (watched.size === 0) return
    if (looking !== 'no') {
      // What runs may have read before the commit.
      looking = 'and again'
      return
    }
    looking = 'yes'
    await look()
    const again = (looking as string) === 'and again'
    looking = 'no'
    if (again) await lookNow()
  }

  return {
    hold: (tokenId, endOne) => {
      if (isStopping) throw serviceUnavailable()
      const token = watched.get(tokenId) ?? { ends: new Set<End>(), verifiedAt: performance.now() }
      watched.set(tokenId, token)
      token.ends.add(endOne)
      timer ??= setInterval(lookNow, LOOK_EVERY_MS).unref()
      return () => {
        token.ends.delete(endOne)
        if (token.ends.size === 0 && watched.get(tokenId) === token) forget(tokenId)
      }
    },
    lookNow,
    endAll: () => {
      isStopping = true
      for (const id of watched.keys()) end(id, serviceUnavailable())
    },
  }
}
