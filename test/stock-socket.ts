import {
  type AuthenticationCreds,
  type BaileysEventMap,
  Browsers,
  BufferJSON,
  type ConnectionState,
  initAuthCreds,
  makeWASocket,
  proto,
  type SignalDataTypeMap,
  type UserFacingSocketConfig,
  type WASocket,
} from '@whiskeysockets/baileys'
import { onTestFinished } from 'vitest'
import { silentLogger } from './silent-logger.ts'

export type MemoryAuth = UserFacingSocketConfig['auth'] & { reload(): MemoryAuth }

const toText = (value: unknown): string => JSON.stringify(value, BufferJSON.replacer)
const fromText = (text: string) => JSON.parse(text, BufferJSON.reviver)

/** Credentials and keys in memory, kept as text so that nothing is shared by reference; `reload` is what a restart reads. */
export function createMemoryAuth(
  creds: AuthenticationCreds = initAuthCreds(),
  rows = new Map<string, string>(),
): MemoryAuth {
  return {
    creds,
    keys: {
      get: async <T extends keyof SignalDataTypeMap>(type: T, ids: string[]) => {
        const found: Record<string, SignalDataTypeMap[T]> = {}
        for (const id of ids) {
          const row = rows.get(`${type} ${id}`)
          if (row === undefined) continue
          const value = fromText(row)
          found[id] = type === 'app-state-sync-key' ? proto.Message.AppStateSyncKeyData.fromObject(value) : value
        }
        return found
      },
      set: async (changes) => {
        for (const [type, values] of Object.entries(changes))
          for (const [id, value] of Object.entries(values ?? {}))
            if (value === null) rows.delete(`${type} ${id}`)
            else rows.set(`${type} ${id}`, toText(value))
      },
    },
    reload: () => createMemoryAuth(fromText(toText(creds)), rows),
  }
}

/** Credentials as if a device had been paired, for a fake that accepts unknown devices. */
export function createLinkedCreds(number: string, device = 1): AuthenticationCreds {
  const creds = initAuthCreds()
  return {
    ...creds,
    me: { id: `${number}:${device}@s.whatsapp.net`, name: `Owner of ${number}` },
    account: {
      details: Buffer.alloc(8),
      accountSignatureKey: Buffer.alloc(32),
      accountSignature: Buffer.alloc(64),
      deviceSignature: Buffer.alloc(64),
    },
    platform: 'android',
    // Else it would wait for a history.
    accountSyncCounter: 1,
  }
}

export type StockSocket = WASocket & {
  auth: MemoryAuth
  /** The code of the closing error, and what it says. Waits for the socket to close. */
  closed: Promise<{ code: number | undefined; message: string | undefined; data: unknown }>
  /** Waits for an update of the connection; fails when the socket closes first. */
  update(isWanted: (update: Partial<ConnectionState>) => boolean): Promise<Partial<ConnectionState>>
  opened(): Promise<void>
  qr(): Promise<string>
  /** The first of these events that is like this. */
  event<E extends keyof BaileysEventMap>(
    name: E,
    isWanted?: (value: BaileysEventMap[E]) => boolean,
  ): Promise<BaileysEventMap[E]>
}

const PATIENCE_MS = 8_000

/** A stock Baileys socket for one test, ended with it. */
export function connectStockSocket(
  url: string,
  auth = createMemoryAuth(),
  options: Partial<UserFacingSocketConfig> = {},
): StockSocket {
  const socket = makeWASocket({
    waWebSocketUrl: url,
    auth,
    logger: silentLogger,
    browser: Browsers.ubuntu('Chrome'),
    syncFullHistory: false,
    markOnlineOnConnect: false,
    connectTimeoutMs: 2_000,
    defaultQueryTimeoutMs: 2_000,
    ...options,
  })
  onTestFinished(async () => {
    void socket.end(undefined)
    socket.ws.removeAllListeners('error')
    // Past listeners of ours nobody hears that it ends while it was still opening.
    socket.ws.on('error', () => {})
    ;(socket.ws as unknown as { socket: { terminate(): void } | null }).socket?.terminate()
  })

  const event: StockSocket['event'] = (name, isWanted = () => true) =>
    new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        socket.ev.off(name, listen)
        reject(new Error(`No ${name} like it in time`))
      }, PATIENCE_MS)
      const listen = (value: Parameters<typeof isWanted>[0]) => {
        if (!isWanted(value)) return
        clearTimeout(timer)
        socket.ev.off(name, listen)
        resolve(value)
      }
      socket.ev.on(name, listen)
    })

  const closed = new Promise<Awaited<StockSocket['closed']>>((resolve) => {
    socket.ev.on('connection.update', ({ connection, lastDisconnect }) => {
      if (connection !== 'close') return
      const error = lastDisconnect?.error as (Error & { output?: { statusCode: number }; data?: unknown }) | undefined
      resolve({ code: error?.output?.statusCode, message: error?.message, data: error?.data })
    })
  })

  const update: StockSocket['update'] = async (isWanted) => {
    const found = await event('connection.update', (change) => isWanted(change) || change.connection === 'close')
    if (!isWanted(found)) throw new Error(`Closed: ${found.lastDisconnect?.error?.message}`)
    return found
  }

  return {
    ...socket,
    auth,
    closed,
    update,
    event,
    opened: async () => void (await update(({ connection }) => connection === 'open')),
    qr: async () => (await update(({ qr }) => qr !== undefined)).qr ?? '',
  }
}
