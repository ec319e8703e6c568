import type { IncomingMessage } from 'node:http'
import type { Services } from '../services.ts'
import type { LiveToken } from '../token/queries.ts'
import { isTokenText } from '../token/token.ts'
import { tenantOf } from './viewer.ts'

/** A token as it was sent; null: none. */
export type SentToken = string | null | 'invalid'

/**
 * The token of a request: the `token` header, then `Authorization: Bearer`. 'invalid': sent in a way that is never right,
 * such as two `token` headers, which Node joins with a comma. Of two `Authorization` headers, Node takes the first.
 */
export function tokenOf({ headers }: Pick<IncomingMessage, 'headers'>): SentToken {
  return readToken(String(headers.token ?? '').trim() || bearerOf(headers.authorization) || '')
}

/** A token as it was sent, anywhere; null when it is empty. */
export function readToken(sent: string): SentToken {
  const token = sent.trim()
  if (token === '') return null
  return isTokenText(token) ? token : 'invalid'
}

/** Another scheme counts as absent: proxies add Basic. */
const bearerOf = (header = ''): string | undefined => /^bearer\s+(.*)$/i.exec(header)?.[1]?.trim()

/**
 * The live token of what was sent; null when nothing was; 'invalid' when it is unknown or revoked.
 * @throws when the database is away: an unread token is not an invalid one
 */
export async function authenticate(
  { lookUpToken, tokenUsage, sessions }: Pick<Services, 'lookUpToken' | 'tokenUsage' | 'sessions'>,
  sent: SentToken,
): Promise<LiveToken | null | 'invalid'> {
  if (sent === null || sent === 'invalid') return sent
  const found = await lookUpToken(sent)
  if (!found) return 'invalid'
  tokenUsage.note(found.id)
  // The way of every request and every operation: from here on the connections of its account can be told at once.
  const prepared = sessions.prepare(tenantOf(found.viewer))
  if (prepared) await prepared
  return found
}
