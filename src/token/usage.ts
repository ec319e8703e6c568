import { type Kysely, sql } from 'kysely'
import type { DB } from '../db/types.ts'
import type { Logger } from '../logger.ts'
import { within } from '../within.ts'

const WRITE_EVERY_MS = 30_000
/** How long a stop waits for a database that does not answer. */
const LAST_WRITE_MS = 1_000

/** When each token was last used: collected in memory, and written for all tokens at once now and then. */
export type TokenUsage = {
  /** Costs no statement. */
  note(tokenId: string): void
  /** Writes what is still to be written. */
  close(): Promise<void>
}

export function trackTokenUsage(db: Kysely<DB>, logger: Logger): TokenUsage {
  let used = new Map<string, Date>()

  const write = async () => {
    if (used.size === 0) return
    // In one order, so that two nodes do not wait for each other.
    const entries = [...used].toSorted(([a], [b]) => (a < b ? -1 : 1))
    used = new Map()
    const ids = entries.map(([id]) => id)
    const times = entries.map(([, at]) => at.toISOString())
    try {
      await sql`
        update tokens set last_used_at = used.at
        from unnest(${ids}::uuid[], ${times}::timestamptz[]) as used(id, at)
        where tokens.id = used.id and (tokens.last_used_at is null or tokens.last_used_at < used.at)`.execute(db)
    } catch (error) {
      logger.warn({ err: error }, 'the last use of tokens could not be written yet')
      used = new Map([...entries, ...used])
    }
  }

  const timer = setInterval(write, WRITE_EVERY_MS).unref()
  return {
    note: (tokenId) => void used.set(tokenId, new Date()),
    close: async () => {
      clearInterval(timer)
      await within(LAST_WRITE_MS, write())
    },
  }
}
