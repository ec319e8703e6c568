import type { Kysely } from 'kysely'
import { LRUCache } from 'lru-cache'
import type { DB } from '../db/types.ts'
import { findTokenByDigest, type LiveToken } from '../token/queries.ts'

/** What one token occupies, roughly. */
const TOKEN_BYTES = 700

/**
 * Live tokens by digest. Only those that were found are kept, so that guesses fill nothing. What is read while any token
 * changes is not kept, since it may be from before the change.
 */
export class TokenLookups {
  readonly #db: Kysely<DB>
  readonly #found: LRUCache<string, LiveToken>
  readonly #digestOf = new Map<string, string>()
  /** Lookups that are under way, so that many readers of one token cost one statement. */
  #asked = new Map<string, Promise<LiveToken | undefined>>()
  #changes = 0

  constructor(db: Kysely<DB>, maxBytes: number) {
    this.#db = db
    this.#found = new LRUCache({
      max: Math.max(1, Math.floor(maxBytes / TOKEN_BYTES)),
      dispose: ({ id }) => void this.#digestOf.delete(id),
    })
  }

  async find(digest: Buffer): Promise<LiveToken | undefined> {
    const key = digest.toString('latin1')
    return this.#found.get(key) ?? this.#asked.get(key) ?? this.#ask(key, digest)
  }

  forget(tokenId: string): void {
    this.#noteChange()
    const key = this.#digestOf.get(tokenId)
    if (key !== undefined) this.#found.delete(key)
  }

  forgetAll(): void {
    this.#noteChange()
    this.#found.clear()
  }

  #noteChange(): void {
    this.#changes++
    this.#asked = new Map()
  }

  #ask(key: string, digest: Buffer): Promise<LiveToken | undefined> {
    const asked = this.#asked
    const answer = this.#read(key, digest).finally(() => asked.delete(key))
    asked.set(key, answer)
    return answer
  }

  async #read(key: string, digest: Buffer): Promise<LiveToken | undefined> {
    const changes = this.#changes
    const token = await findTokenByDigest(this.#db, digest)
    if (token && changes === this.#changes) {
      this.#found.set(key, token)
      this.#digestOf.set(token.id, key)
    }
    return token
  }
}
