import type { Kysely } from 'kysely'
import { LRUCache } from 'lru-cache'
import type { DB } from '../db/types.ts'
import { createTokenLookup, type TokenLookup } from '../token/lookup.ts'
import type { LiveToken } from '../token/queries.ts'
import { digestKeyOf } from '../token/token.ts'

/** What one token occupies, roughly. */
const TOKEN_BYTES = 700

/**
 * Live tokens by digest. Only those that were found are kept, so that guesses fill nothing. What is read while any token
 * changes is not kept, since it may be from before the change.
 */
export class TokenLookups {
  /** From the database. */
  readonly lookUp: TokenLookup
  readonly #found: LRUCache<string, LiveToken>
  readonly #digestOf = new Map<string, string>()
  #changes = 0

  constructor(db: Kysely<DB>, maxBytes: number) {
    this.lookUp = createTokenLookup(db)
    this.#found = new LRUCache({
      max: Math.max(1, Math.floor(maxBytes / TOKEN_BYTES)),
      dispose: ({ id }) => void this.#digestOf.delete(id),
    })
  }

  /** At once where the token is remembered. */
  find(token: string): LiveToken | Promise<LiveToken | undefined> {
    const key = digestKeyOf(token)
    return this.#found.get(key) ?? this.#read(token, key)
  }

  async #read(token: string, key: string): Promise<LiveToken | undefined> {
    const changes = this.#changes
    const found = await this.lookUp(token)
    if (found && changes === this.#changes) {
      this.#found.set(key, found)
      this.#digestOf.set(found.id, key)
    }
    return found
  }

  forget(tokenId: string): void {
    this.#changes++
    const key = this.#digestOf.get(tokenId)
    if (key !== undefined) this.#found.delete(key)
  }

  forgetAll(): void {
    this.#changes++
    this.#found.clear()
  }
}
