import type { WASocket } from '@whiskeysockets/baileys'
import type { Profile } from '../profile/queries.ts'

const QUERY_TIMEOUT_MS = 10_000
/** WhatsApp's answers for a picture that is not there, and for one that is not shown. */
const NO_PICTURE = new Set([401, 404])
/** The platforms that are WhatsApp Business. */
const BUSINESS = new Set(['smba', 'smbi'])

/** What the credentials tell of the profile, without asking. */
export function profileInCreds({ me, platform }: WASocket['authState']['creds']): Partial<Profile> {
  const isBusiness = BUSINESS.has(platform ?? '')
  // "~" stands for a name until there is one.
  const name = me?.name && me.name !== '~' ? me.name : undefined
  return { isBusiness, ...(name !== undefined && { name }) }
}

/** The address of the own picture; null when there is none; undefined when that could not be told. */
export async function findPictureUrl(socket: WASocket): Promise<string | null | undefined> {
  const jid = socket.authState.creds.me?.id
  if (!jid) return undefined
  try {
    // Without an address the answer was late, or said nothing.
    return await socket.profilePictureUrl(jid, 'image', QUERY_TIMEOUT_MS)
  } catch (error) {
    return NO_PICTURE.has((error as { data?: number }).data ?? 0) ? null : undefined
  }
}
