import { once } from 'node:events'
import type { Redis } from 'ioredis'
import type { Logger } from './logger.ts'
import { connectRedis } from './redis.ts'
import { RESERVE_PLACES } from './reserve-places.ts'
import type { Reservation } from './sliding-log.ts'
import { within } from './within.ts'

/** How long a request waits for Redis. */
const ANSWER_MS = 200
/** While Redis is away no request waits for it; it is asked so often whether it is back. */
const PROBE_MS = 500
const START_MS = 1_000
const PREFIX = 'switchboard:limit:'

/** Places that all nodes take from the same logs, kept in Redis. */
export type SharedPlaces = {
  /** Takes `places` at once, or none; null when Redis does not answer, and the node's own share has to decide. */
  reserve(key: string, places: number, limit: number, windowMs: number): Promise<Reservation | null>
  isAway(): boolean
  /** What a node may grant by itself of what all may. */
  shareOf(limit: number): number
  close(): void
}

type Connection = Redis & {
  reservePlaces(key: string, limit: number, places: number, windowUs: number): Promise<ReservePlacesReply>
}
type ReservePlacesReply = [granted: number, remaining: number, nextFreeUs: number, retryAfterUs: number, nowUs: number]

/** Connects to Redis; a start does not fail because it is away. */
export async function openSharedPlaces(
  url: string,
  { liveNodes, logger }: { liveNodes: () => number; logger: Logger },
): Promise<SharedPlaces> {
  const redis = (await connectRedis(url)) as Connection
  redis.defineCommand('reservePlaces', { numberOfKeys: 1, lua: RESERVE_PLACES })
  let isAway = false
  let isClosed = false
  let probing: NodeJS.Timeout | undefined
  let lastError: Error | null = null

  const reserve = async (key: string, places: number, limit: number, windowMs: number): Promise<Reservation> => {
    const reply = await inTime(ANSWER_MS, redis.reservePlaces(PREFIX + key, limit, places, windowMs * 1000))
    const [granted, remaining, nextFreeUs, retryAfterUs, nowUs] = reply
    return {
      granted: granted === 1,
      remaining,
      nextFreeMs: nextFreeUs / 1000,
      retryAfterMs: retryAfterUs / 1000,
      at: nowUs / 1000,
    }
  }

  const probeLater = () => {
    clearTimeout(probing)
    if (!isClosed) probing = setTimeout(probe, PROBE_MS)
  }
  const leave = (error: unknown) => {
    if (isAway || isClosed) return
    isAway = true
    logger.warn(
      { err: lastError ?? error },
      'Redis does not answer: this node counts requests by itself, within its share, and opens no new pairings',
    )
    probeLater()
  }
  // By a reservation, since a Redis that is full or only reads answers a ping.
  const probe = async () => {
    try {
      await reserve('probe', 1, Number.MAX_SAFE_INTEGER, PROBE_MS)
    } catch {
      return probeLater()
    }
    clearTimeout(probing)
    if (isClosed || !isAway) return
    isAway = false
    lastError = null
    logger.info('Redis answers again: all nodes count together')
  }

  // A connection that breaks is made anew without end; what is left to do is to remember why, for the log.
  redis.on('error', (error: Error) => (lastError = error))
  if (!(await within(START_MS, once(redis, 'ready')).catch(() => null))) {
    leave(new Error(`no connection within ${START_MS} ms`))
  }
  redis.on('close', () => leave(new Error('the connection was closed')))

  return {
    reserve: async (...request) => {
      if (isAway) return null
      try {
        return await reserve(...request)
      } catch (error) {
        leave(error)
        return null
      }
    },
    isAway: () => isAway,
    shareOf: (limit) => Math.max(1, Math.floor(limit / Math.max(1, liveNodes()))),
    close: () => {
      isClosed = true
      clearTimeout(probing)
      redis.disconnect()
    },
  }
}

/** What a reply gives in time; a process that was too busy to look reads what has arrived before it gives up. */
function inTime<Reply>(ms: number, reply: Promise<Reply>): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const giveUp = () => reject(new Error(`no answer within ${ms} ms`))
    const timer = setTimeout(() => setImmediate(giveUp), ms)
    reply.then(resolve, reject).finally(() => clearTimeout(timer))
  })
}
