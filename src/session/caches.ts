import type { SocketConfig } from '@whiskeysockets/baileys'
import { LRUCache } from 'lru-cache'

const MINUTE_MS = 60_000
const MAX_ENTRIES = 20_000

export type SharedCaches = Required<
  Pick<SocketConfig, 'msgRetryCounterCache' | 'callOfferCache' | 'userDevicesCache' | 'placeholderResendCache'>
>

/**
 * Baileys' short-lived memories, one of each for all sessions instead of one of each per socket, which cost as much as the
 * socket itself. Each instance sees its own part.
 */
export function createCaches(): { of(instanceId: string): SharedCaches } {
  const retries = createStore(60 * MINUTE_MS)
  const calls = createStore(5 * MINUTE_MS)
  const devices = createStore(5 * MINUTE_MS)
  const placeholders = createStore(60 * MINUTE_MS)
  return {
    of: (instanceId) => ({
      msgRetryCounterCache: partOf(retries, instanceId),
      callOfferCache: partOf(calls, instanceId),
      userDevicesCache: partOf(devices, instanceId),
      placeholderResendCache: partOf(placeholders, instanceId),
    }),
  }
}

type Store = LRUCache<string, NonNullable<unknown>>

const createStore = (ttl: number): Store => new LRUCache({ max: MAX_ENTRIES, ttl })

function partOf(store: Store, instanceId: string): SharedCaches['callOfferCache'] {
  const keyOf = (key: string) => `${instanceId}/${key}`
  return {
    get: <Value>(key: string) => store.get(keyOf(key)) as Value | undefined,
    set: (key, value) => {
      store.set(keyOf(key), value as NonNullable<unknown>)
    },
    del: (key) => {
      store.delete(keyOf(key))
    },
    flushAll: () => {
      for (const key of store.keys()) if (key.startsWith(`${instanceId}/`)) store.delete(key)
    },
  }
}
