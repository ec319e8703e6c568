import type { Kysely } from 'kysely'
import type { DB } from '../db/types.ts'
import { findTokenByDigest, type LiveToken } from './queries.ts'
import { digestKeyOf } from './token.ts'

/** The live token of a text; undefined when it is unknown or revoked. */
export type TokenLookup = (token: string) => Promise<LiveToken | undefined>

/**
 * Lookups in which those that come together for one token share a statement: a thousand readers that reconnect at once
 * cost a few. Nothing is kept, and nobody is given what a statement read that had begun before: a token that was revoked
 * fails on its next request.
 */
export function createTokenLookup(db: Kysely<DB>): TokenLookup {
  const running = new Map<string, Promise<LiveToken | undefined>>()
  const waiting = new Map<string, Promise<LiveToken | undefined>>()

  const look = (key: string) => {
    const looking = findTokenByDigest(db, Buffer.from(key, 'base64url')).finally(() => {
      if (running.get(key) === looking) running.delete(key)
    })
    running.set(key, looking)
    return looking
  }

  return (token) => {
    const key = digestKeyOf(token)
    const current = running.get(key)
    if (!current) return look(key)
    const next =
      waiting.get(key) ??
      // When the database did not answer the one before, this one is not tried: it would wait as long again.
      current.finally(() => waiting.delete(key)).then(() => look(key))
    waiting.set(key, next)
    return next
  }
}
