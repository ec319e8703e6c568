import type { IncomingMessage } from 'node:http'
import type { Services } from '../services.ts'
import { digestToken, isTokenText } from '../token/token.ts'
import type { Viewer } from './viewer.ts'

/** The token of a request: the `token` header, then `Authorization: Bearer`. 'invalid': sent in a way that is never right. */
export function tokenOf(request: Pick<IncomingMessage, 'headersDistinct'>): string | null | 'invalid' {
  const sent = request.headersDistinct.token ?? []
  if (sent.length > 1) return 'invalid'
  const token = sent[0]?.trim() || bearerOf(request.headersDistinct.authorization?.[0])
  if (!token) return null
  return isTokenText(token) ? token : 'invalid'
}

/** Another scheme counts as absent: proxies add Basic. */
const bearerOf = (header = ''): string | undefined => /^bearer\s+(.*)$/i.exec(header)?.[1]?.trim()

/**
 * The viewer behind a request's token; null when there is no token; 'invalid' when it is unknown or revoked.
 * @throws when the database is away: an unread token is not an invalid one
 */
export async function authenticate(
  { readModel, tokenUsage }: Pick<Services, 'readModel' | 'tokenUsage'>,
  request: Pick<IncomingMessage, 'headersDistinct'>,
): Promise<Viewer | null | 'invalid'> {
  const token = tokenOf(request)
  if (token === null || token === 'invalid') return token
  const found = await readModel.findToken(digestToken(token))
  if (!found) return 'invalid'
  tokenUsage.note(found.id)
  return found.viewer
}
