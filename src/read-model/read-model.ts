import type { Kysely } from 'kysely'
import { LRUCache } from 'lru-cache'
import type { Change, ChangeFeed } from '../db/change.ts'
import type { DB } from '../db/types.ts'
import type { LiveToken } from '../token/queries.ts'
import { AccountRows } from './account-rows.ts'
import { TokenLookups } from './token-lookups.ts'

/** The share of the memory that tokens may have. */
const SHARE_OF_TOKENS = 1 / 16
/** How long an account that does not fit is read from the database before it is tried again. */
const TOO_LARGE_MS = 60_000
const MAX_TOO_LARGE = 10_000

/**
 * Accounts and tokens in memory, least recently used ones leaving. Each change that the feed tells drops what it has
 * touched. A request that begins while the feed is not current is answered from the database.
 */
export class ReadModel {
  readonly #db: Kysely<DB>
  readonly #feed: ChangeFeed | null
  readonly #accounts: LRUCache<string, AccountRows>
  readonly #tooLarge = new LRUCache<string, true>({ max: MAX_TOO_LARGE, ttl: TOO_LARGE_MS })
  readonly #tokens: TokenLookups

  /** @param feed null: nothing is remembered */
  constructor(db: Kysely<DB>, feed: ChangeFeed | null, maxBytes: number) {
    this.#db = db
    this.#feed = feed
    this.#accounts = new LRUCache({ maxSize: Math.max(1, Math.floor(maxBytes)) })
    this.#tokens = new TokenLookups(db, maxBytes * SHARE_OF_TOKENS)
    feed?.listen((change) => this.drop(change))
  }

  /** What the accounts occupy, roughly. */
  get bytes(): number {
    return this.#accounts.calculatedSize
  }

  /** Whether a request that begins now may be answered from memory. */
  isCurrent(): boolean {
    return this.#feed?.isCurrent() ?? false
  }

  /**
   * An account as it is remembered, or about to be; null: ask the database. To be asked for anew by each reading, since
   * what was dropped hears of no change.
   */
  account(accountId: string): AccountRows | null {
    const known = this.#accounts.get(accountId)
    if (known || this.#tooLarge.has(accountId)) return known ?? null
    const rows: AccountRows = new AccountRows(this.#db, accountId, () => this.#weigh(accountId, rows))
    this.#accounts.set(accountId, rows, { size: rows.bytes })
    return rows
  }

  /** A live token, with the viewer that it stands for. */
  async findToken(token: string): Promise<LiveToken | undefined> {
    const isCurrent = this.isCurrent() || (await this.#feed?.confirm())
    return isCurrent ? this.#tokens.find(token) : this.#tokens.lookUp(token)
  }

  #weigh(accountId: string, rows: AccountRows): void {
    if (this.#accounts.peek(accountId) !== rows) return
    if (rows.bytes > this.#accounts.maxSize) this.#tooLarge.set(accountId, true)
    // One that does not fit is not stored, and neither is what it replaces.
    this.#accounts.set(accountId, rows, { size: rows.bytes })
  }

  /** Forgets what a change has touched. */
  drop(change: Change): void {
    switch (change.kind) {
      case 'instance':
        return this.#accounts.peek(change.accountId)?.forget(change.instanceId)
      case 'account':
        return void this.#accounts.delete(change.accountId)
      case 'token':
        return this.#tokens.forget(change.tokenId)
      case 'everything':
        this.#accounts.clear()
        return this.#tokens.forgetAll()
    }
  }
}
