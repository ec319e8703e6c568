import type { AuthenticationCreds, WAVersion } from '@whiskeysockets/baileys'
import type { Kysely } from 'kysely'
import type { DB } from '../db/types.ts'
import { DEFAULT_SETTINGS, settingsOf } from '../integration/queries.ts'
import type { Logger } from '../logger.ts'
import type { Profile } from '../profile/queries.ts'
import type { Sealer } from '../sealing/sealer.ts'
import type { AuthState } from './auth-state.ts'
import type { Behaviour } from './behaviour.ts'
import type { createCaches } from './caches.ts'
import { ingest } from './ingest.ts'
import { Link, type LinkEvents, type LinkTimings } from './link.ts'
import { findProxyAddress } from './proxy-address.ts'
import { routeThrough } from './proxy-route.ts'

/** What links are opened with in this process. */
export type LinkServices = Readonly<{
  db: Kysely<DB>
  sealer: Sealer
  logger: Logger
  caches: ReturnType<typeof createCaches>
  timings: LinkTimings
  whatsappUrl: string
  /** null: the one that Baileys was released with. */
  whatsappVersion: WAVersion | null
  allowPrivateAddresses: boolean
  /** Whether this node may act as the owner of its sessions at this moment; a promise while that is being asked. */
  mayRead(): boolean | Promise<boolean>
}>

type Opening = {
  instanceId: string
  auth: AuthState
  behaviour: Behaviour
  logger: Logger
  signal: AbortSignal
  /** Something of the profile was seen, changed or not. */
  onProfile(seen: Partial<Profile>): Promise<void>
}

/**
 * Opens a link with the settings and the proxy that the instance has now; null when the signal came first.
 * @throws ProxyFailed, UnreadableSecret, and what the database throws
 */
export async function openLink(
  { db, sealer, caches, timings, whatsappUrl, whatsappVersion, allowPrivateAddresses, mayRead }: LinkServices,
  { instanceId, auth, behaviour, logger, signal, onProfile }: Opening,
  events: LinkEvents,
): Promise<Link | null> {
  const [settings] = await settingsOf(db, [instanceId])
  behaviour.settings = settings ?? DEFAULT_SETTINGS
  const address = await findProxyAddress(db, sealer, instanceId)
  const route = address && (await routeThrough(address, allowPrivateAddresses))
  if (signal.aborted) {
    route?.close()
    return null
  }
  const lent = auth.lendKeys()
  const link = await Link.open(
    {
      url: whatsappUrl,
      version: whatsappVersion,
      auth: { creds: auth.creds as AuthenticationCreds, keys: lent.keys },
      behaviour,
      route,
      caches: caches.of(instanceId),
      timings,
      mayRead,
    },
    {
      ...events,
      onOpen: () => {
        events.onOpen()
        taken.opened()
      },
      onClose: (close, cause) => {
        lent.takeBack()
        const isProxys = (close.kind === 'transport' || close.kind === 'login unanswered') && route?.isWaiting()
        route?.close()
        if (isProxys) events.onClose({ kind: 'proxy' })
        else events.onClose(close, cause)
      },
    },
  )
  const taken = ingest(link.socket, { behaviour, logger, onCreds: () => auth.noteChange(), onProfile })
  return link
}
