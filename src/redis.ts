import type { Redis, RedisOptions } from 'ioredis'

const CONNECT_TIMEOUT_MS = 1_000
/** A connection on which a command brings nothing for so long is given up for a new one. */
const SOCKET_TIMEOUT_MS = 2_000
const CLOSE_TIMEOUT_MS = 500
const MAX_RETRY_MS = 1_000

const OPTIONS: RedisOptions = {
  connectTimeout: CONNECT_TIMEOUT_MS,
  socketTimeout: SOCKET_TIMEOUT_MS,
  disconnectTimeout: CLOSE_TIMEOUT_MS,
  retryStrategy: (attempt) => Math.min(50 * attempt, MAX_RETRY_MS),
  // A command fails at once while there is no connection, and is never sent twice.
  enableOfflineQueue: false,
  autoResendUnfulfilledCommands: false,
  // After a failover the old primary only reads: a new connection finds the new one.
  reconnectOnError: (error) => error.message.startsWith('READONLY'),
}

/**
 * A connection to Redis that is made anew for ever when it breaks; commands meanwhile are rejected.
 * The package is loaded here, so that a node without Redis does not pay for it.
 */
export async function connectRedis(url: string): Promise<Redis> {
  // A bundled CommonJS package has nothing but its default.
  const { default: ioredis } = await import('ioredis')
  return new ioredis.Redis(url, OPTIONS)
}
