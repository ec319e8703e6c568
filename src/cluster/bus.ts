import type { Redis } from 'ioredis'
import type { Logger } from '../logger.ts'
import { connectRedis } from '../redis.ts'
import type { Sealer } from '../sealing/sealer.ts'
import type { Announcement } from './wire.ts'
import { parseWire } from './wire.ts'

/** A connection on which nothing moves may have been forgotten on the way: asked after so often. */
const PING_EVERY_MS = 5_000

/** What is heard of the bus. */
export type BusEvents = {
  onMessage(accountId: string, announcement: Announcement): void
  /** It carries again; what was told meanwhile is lost. */
  onUp(): void
  onDown(): void
}

/** Carries announcements between nodes, one topic per account. Nothing is kept and nothing is promised: truth is read. */
export interface Bus {
  readonly isUp: boolean
  listen(events: BusEvents): void
  /** Dropped when the bus is away. */
  publish(accountId: string, announcement: Announcement): void
  /** Resolves when the account is listened to; when the bus is away, at once, and it is made up for later. */
  subscribe(accountId: string): Promise<void>
  unsubscribe(accountId: string): void
  close(): Promise<void>
}

const PREFIX = 'switchboard:sessions:'
const topicOf = (accountId: string) => `${PREFIX}{${accountId}}`
const accountOf = (topic: string) => topic.slice(PREFIX.length + 1, -1)
const placeOf = (accountId: string) => ({ table: 'bus', column: 'sessions', rowId: accountId })

/** The bus over Redis 7 or Valkey: sharded pub/sub, sealed, so that whoever has Redis can neither read nor forge. */
export async function openRedisBus(url: string, sealer: Sealer, logger: Logger): Promise<Bus> {
  const [publisher, subscriber] = await Promise.all([connectRedis(url), connectRedis(url)])
  return new RedisBus(publisher, subscriber, sealer, logger)
}

class RedisBus implements Bus {
  readonly #sealer: Sealer
  readonly #logger: Logger
  readonly #publisher: Redis
  readonly #subscriber: Redis
  readonly #accounts = new Set<string>()
  readonly #pings: NodeJS.Timeout
  #events: BusEvents | null = null
  #isUp = false
  #isClosed = false

  constructor(publisher: Redis, subscriber: Redis, sealer: Sealer, logger: Logger) {
    this.#sealer = sealer
    this.#logger = logger
    this.#publisher = publisher
    this.#subscriber = subscriber
    for (const client of [this.#publisher, this.#subscriber]) {
      client.on('error', (error: Error) => logger.debug({ err: error }, 'the connection to Redis broke'))
      client.on('ready', () => void this.#begin())
      client.on('close', () => this.#setUp(false))
    }
    this.#subscriber.on('smessageBuffer', (topic: Buffer, sealed: Buffer) => this.#receive(String(topic), sealed))
    this.#pings = setInterval(() => this.#ping(), PING_EVERY_MS).unref()
  }

  get isUp(): boolean {
    return this.#isUp
  }

  listen(events: BusEvents): void {
    this.#events = events
  }

  publish(accountId: string, announcement: Announcement): void {
    if (!this.#isUp) return
    const sealed = this.#sealer.seal(placeOf(accountId), JSON.stringify(announcement))
    this.#publisher.spublish(topicOf(accountId), sealed).catch((error: Error) => {
      this.#logger.debug({ err: error }, 'an announcement was lost')
    })
  }

  async subscribe(accountId: string): Promise<void> {
    this.#accounts.add(accountId)
    if (!this.#isUp) return
    try {
      await this.#subscriber.ssubscribe(topicOf(accountId))
    } catch (error) {
      this.#logger.debug({ err: error }, 'an account could not be listened to')
      // Done for all accounts when it is back.
      this.#subscriber.disconnect(true)
    }
  }

  unsubscribe(accountId: string): void {
    this.#accounts.delete(accountId)
    if (this.#isUp) this.#subscriber.sunsubscribe(topicOf(accountId)).catch(() => undefined)
  }

  async close(): Promise<void> {
    clearInterval(this.#pings)
    this.#events = null
    this.#isClosed = true
    this.#publisher.disconnect()
    this.#subscriber.disconnect()
  }

  /** A connection is there: the bus is up when both are, and all accounts are listened to. */
  async #begin(): Promise<void> {
    if (this.#publisher.status !== 'ready' || this.#subscriber.status !== 'ready' || this.#isUp) return
    try {
      const begun = new Set(this.#accounts)
      // One by one: topics of one statement would have to be in one slot.
      await Promise.all([...begun].map((accountId) => this.#subscriber.ssubscribe(topicOf(accountId))))
      this.#setUp(this.#publisher.status === 'ready' && this.#subscriber.status === 'ready')
      for (const accountId of this.#accounts) if (!begun.has(accountId)) await this.subscribe(accountId)
    } catch (error) {
      this.#logger.debug({ err: error }, 'the accounts could not be listened to yet')
      this.#subscriber.disconnect(true)
    }
  }

  #setUp(isUp: boolean): void {
    if (isUp === this.#isUp || this.#isClosed) return
    this.#isUp = isUp
    if (isUp) this.#logger.info('the bus between the nodes is up')
    else this.#logger.warn('the bus between the nodes is away: states of other nodes are asked for instead')
    if (isUp) this.#events?.onUp()
    else this.#events?.onDown()
  }

  #receive(topic: string, sealed: Buffer): void {
    const accountId = accountOf(topic)
    try {
      this.#events?.onMessage(accountId, parseWire(this.#sealer.unseal(placeOf(accountId), sealed)))
    } catch (error) {
      this.#logger.warn({ err: error }, 'an announcement could not be read: another key, or not from a node')
    }
  }

  #ping(): void {
    for (const client of [this.#publisher, this.#subscriber]) {
      if (client.status === 'ready') client.ping().catch(() => client.disconnect(true))
    }
  }
}
