import { setTimeout } from 'node:timers/promises'
import type { AuthenticationCreds, SignalDataSet, SignalKeyStore } from '@whiskeysockets/baileys'
import type { Kysely } from 'kysely'
import { LRUCache } from 'lru-cache'
import type { DB } from '../db/types.ts'
import type { Logger } from '../logger.ts'
import type { Sealer } from '../sealing/sealer.ts'
import { SerialQueue } from '../serial.ts'
import { within } from '../within.ts'
import { findSealedCreds, listSealedKeys, type SealedKey, writeSealedCreds, writeSealedKeys } from './auth-queries.ts'
import { loadBaileys } from './baileys.ts'
import { NotOurs, type Owned } from './fence.ts'

/** Keys that an instance keeps in memory, by number and by the length of their texts. */
const MAX_CACHED_KEYS = 200
const MAX_CACHED_LENGTH = 64 * 1024
/** How long credentials that could not be written wait for the next try. */
const RETRY_MS = 1_000

const credsPlace = (instanceId: string) => ({ table: 'auth_creds', column: 'creds_sealed', rowId: instanceId })
const keyPlace = (instanceId: string, type: string, id: string) => ({
  table: 'auth_keys',
  column: 'value_sealed',
  rowId: `${instanceId}/${type}/${id}`,
})

type Services = {
  db: Kysely<DB>
  sealer: Sealer
  logger: Logger
  /** With which the session owns the instance. */
  epoch: number
  /** A write was refused because somebody else owns the session. */
  onNotOurs?: () => void
}

/**
 * The auth state of one paired instance: Baileys' credentials and Signal keys, sealed in the database. Writes follow each
 * other; a read that fails throws, and only a row that is not there means that there is no such key.
 */
export class AuthState {
  readonly creds: AuthenticationCreds
  readonly #instanceId: string
  readonly #services: Services
  readonly #writes = new SerialQueue()
  /** Texts and not objects, because Baileys keeps and changes what it is given. */
  readonly #cache = new LRUCache<string, string>({
    max: MAX_CACHED_KEYS,
    maxSize: MAX_CACHED_LENGTH,
    sizeCalculation: (text, key) => text.length + key.length,
  })
  /** Rises with each write: what was read before it may be out of date. */
  #keyWrites = 0
  /** Whether the credentials have changed since they were last written. */
  #isUnsaved = false
  #saving: Promise<void> | null = null
  #isClosed = false

  constructor(services: Services, instanceId: string, creds: AuthenticationCreds) {
    this.#services = services
    this.#instanceId = instanceId
    this.creds = creds
  }

  /**
   * Credentials of a pairing that was kept, or null when there is none.
   * @throws when they cannot be read, which is not the same
   */
  static async load(services: Services, instanceId: string): Promise<AuthState | null> {
    const sealed = await findSealedCreds(services.db, instanceId)
    if (!sealed) return null
    const { BufferJSON } = await loadBaileys()
    const creds = JSON.parse(services.sealer.unseal(credsPlace(instanceId), sealed), BufferJSON.reviver)
    return new AuthState(services, instanceId, creds)
  }

  /** Credentials of a device that no phone knows yet. They are not stored before they are paired. */
  static async create(services: Services, instanceId: string): Promise<AuthState> {
    const { initAuthCreds } = await loadBaileys()
    return new AuthState(services, instanceId, initAuthCreds())
  }

  /** Whether a phone has accepted the device. Before that a requested code has set `me` already, and `registered` never tells. */
  get isPaired(): boolean {
    return Boolean(this.creds.account && this.creds.me?.id)
  }

  /** The own number, without the device. */
  get numberJid(): string {
    return (this.creds.me?.id ?? '').replace(/:\d+@/, '@')
  }

  /** What one socket reads and writes its keys by, and the function after which it cannot any more. */
  lendKeys(): { keys: SignalKeyStore; takeBack(): void } {
    let isLent = true
    const refuse = () => {
      if (!isLent) throw new Error('The socket of these keys is closed')
    }
    return {
      keys: {
        get: async (type, ids) => {
          refuse()
          const { BufferJSON, proto } = await loadBaileys()
          const texts = await this.#readKeys(type, ids)
          const revive = (text: string) => {
            const value = JSON.parse(text, BufferJSON.reviver)
            return type === 'app-state-sync-key' ? proto.Message.AppStateSyncKeyData.fromObject(value) : value
          }
          return Object.fromEntries([...texts].map(([id, text]) => [id, revive(text)]))
        },
        set: async (data) => {
          refuse()
          await this.#writeKeys(data)
        },
      },
      takeBack: () => {
        isLent = false
      },
    }
  }

  get #owned(): Owned {
    return { instanceId: this.#instanceId, epoch: this.#services.epoch }
  }

  async #readKeys(type: string, ids: readonly string[]): Promise<Map<string, string>> {
    const { db, sealer } = this.#services
    // What is being written is read after it was.
    await this.#writes.idle()
    const texts = new Map<string, string>()
    const missing: string[] = []
    for (const id of ids) {
      const text = this.#cache.get(cacheKey(type, id))
      if (text === undefined) missing.push(id)
      else texts.set(id, text)
    }
    if (missing.length === 0) return texts
    const writes = this.#keyWrites
    for (const { id, sealed } of await listSealedKeys(db, this.#instanceId, type, missing)) {
      const text = sealer.unseal(keyPlace(this.#instanceId, type, id), sealed)
      texts.set(id, text)
      if (writes === this.#keyWrites) this.#cache.set(cacheKey(type, id), text)
    }
    return texts
  }

  async #writeKeys(data: SignalDataSet): Promise<void> {
    const { BufferJSON } = await loadBaileys()
    // Written as it is now: Baileys goes on changing its objects.
    const texts = Object.entries(data).flatMap(([type, values]) =>
      Object.entries(values ?? {}).map(([id, value]) => ({
        type,
        id,
        text: value == null ? null : JSON.stringify(value, BufferJSON.replacer),
      })),
    )
    if (texts.length === 0) return
    await this.#writes.run(async () => {
      if (this.#isClosed) throw new Error('The auth state of these keys is closed')
      const { db, sealer } = this.#services
      this.#keyWrites++
      const keys = texts.map(({ type, id, text }): SealedKey => {
        const sealed = text === null ? null : sealer.seal(keyPlace(this.#instanceId, type, id), text)
        return { type, id, sealed }
      })
      for (const { type, id } of texts) this.#cache.delete(cacheKey(type, id))
      await this.#asOwner(writeSealedKeys(db, this.#owned, keys))
      for (const { type, id, text } of texts) if (text !== null) this.#cache.set(cacheKey(type, id), text)
    })
  }

  async #sealCreds(): Promise<Buffer> {
    const { BufferJSON } = await loadBaileys()
    const text = JSON.stringify(this.creds, BufferJSON.replacer)
    return this.#services.sealer.seal(credsPlace(this.#instanceId), text)
  }

  /** Writes the credentials after they have changed, however often meanwhile; half-made ones are not written. */
  noteChange(): void {
    if (this.#isClosed || !this.isPaired) return
    this.#isUnsaved = true
    this.#saving ??= this.#save().finally(() => {
      this.#saving = null
    })
  }

  /** Tries as often as it takes: a database that is away comes back. */
  async #save(): Promise<void> {
    const { db, logger } = this.#services
    while (this.#isUnsaved && !this.#isClosed) {
      try {
        await this.writeCreds((sealed) => writeSealedCreds(db, this.#owned, sealed))
      } catch (error) {
        if (error instanceof NotOurs) return
        logger.warn({ instanceId: this.#instanceId, err: error }, 'credentials could not be written yet')
        await setTimeout(RETRY_MS, undefined, { ref: false })
      }
    }
  }

  /** Hands the credentials, as they are when its turn comes, to a function that writes them. */
  writeCreds<Result>(write: (sealed: Buffer) => Promise<Result>): Promise<Result> {
    return this.#writes.run(async () => {
      if (this.#isClosed) throw new Error('The auth state of these credentials is closed')
      this.#isUnsaved = false
      try {
        return await this.#asOwner(write(await this.#sealCreds()))
      } catch (error) {
        this.#isUnsaved = true
        throw error
      }
    })
  }

  async #asOwner<Result>(write: Promise<Result>): Promise<Result> {
    try {
      return await write
    } catch (error) {
      if (error instanceof NotOurs) this.#services.onNotOurs?.()
      throw error
    }
  }

  /** The pairing is over: nothing is written any more; resolves when what is being written is. */
  async discard(): Promise<void> {
    this.#isClosed = true
    await this.#writes.idle()
  }

  /** Resolves when everything that was to be written so far is, or has failed. */
  idle(): Promise<void> {
    return this.#writes.idle()
  }

  /** Waits until everything is written, for so long at most; true when it is. Later changes are not written any more. */
  async close(maxMs: number): Promise<boolean> {
    const isFlushed = await within(maxMs, this.#flush())
    this.#isClosed = true
    return isFlushed === true && !this.#isUnsaved
  }

  async #flush(): Promise<true> {
    await this.#saving
    await this.#writes.idle()
    return true
  }
}

const cacheKey = (type: string, id: string) => `${type}/${id}`
