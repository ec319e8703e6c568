import { setTimeout } from 'node:timers/promises'
import type { Client } from 'pg'
import type { Logger } from '../logger.ts'
import { within } from '../within.ts'
import { type Change, type ChangeFeed, CHANGES_CHANNEL, parseChange } from './change.ts'

const BEAT_MS = 150
/** How far behind the feed may be and still count as current: below a second, in which a revoked token has to stop. */
const LEASE_MS = 750
/** How long a reader waits for the feed before it asks the database itself. */
const CONFIRM_MS = 100
/** A connection that is silent for so long is given up. */
const DEAD_MS = 2_000
const RECONNECT_MS = 250
const CLOSE_TIMEOUT_MS = 500

/**
 * Changes by LISTEN on a connection of its own. PostgreSQL delivers what was committed before it answers a statement, so
 * an answer proves that everything before has arrived: a beat that is answered keeps the feed current for a while.
 */
export class PostgresChangeFeed implements ChangeFeed {
  readonly #databaseUrl: string
  readonly #logger: Logger
  readonly #listeners = new Set<(change: Change) => void>()
  readonly #timer: NodeJS.Timeout
  #client: Client | null = null
  #isClosed = false
  #currentUntil = 0
  /** The beat that was sent, until it is answered, and the one after it. */
  #beating: Promise<void> | null = null
  #nextBeat: Promise<void> | null = null

  private constructor(databaseUrl: string, logger: Logger) {
    this.#databaseUrl = databaseUrl
    this.#logger = logger
    this.#timer = setInterval(() => void (this.#client && (this.#beating ?? this.#beat())), BEAT_MS).unref()
  }

  /** Connects; when that fails, and whenever the connection is lost, it goes on trying. */
  static async open(databaseUrl: string, logger: Logger): Promise<PostgresChangeFeed> {
    const feed = new PostgresChangeFeed(databaseUrl, logger)
    await feed.#connect()
    return feed
  }

  isCurrent = (): boolean => performance.now() < this.#currentUntil

  listen(listener: (change: Change) => void): () => void {
    this.#listeners.add(listener)
    return () => void this.#listeners.delete(listener)
  }

  async confirm(): Promise<boolean> {
    if (!this.#client || this.isCurrent()) return this.isCurrent()
    // A beat that was sent before this process was busy may prove too little.
    await within(CONFIRM_MS, this.#beating ?? this.#beat())
    if (!this.isCurrent()) await within(CONFIRM_MS, this.#beat())
    return this.isCurrent()
  }

  async catchUp(): Promise<void> {
    // Without an answer for so long it is not current any more, and a later answer would prove this one.
    if (this.#client) await within(LEASE_MS, this.#beat())
  }

  async close(): Promise<void> {
    this.#isClosed = true
    this.#currentUntil = 0
    clearInterval(this.#timer)
    if (this.#client) await within(CLOSE_TIMEOUT_MS, this.#client.end())
  }

  async #connect(): Promise<void> {
    const { Client } = (await import('pg')).default
    const client = new Client({
      connectionString: this.#databaseUrl,
      application_name: 'switchboard changes',
      connectionTimeoutMillis: DEAD_MS,
      query_timeout: DEAD_MS,
    })
    client.on('notification', ({ payload }) => this.#tell(parseChange(payload ?? '')))
    client.on('error', () => this.#lose(client))
    client.on('end', () => this.#lose(client))
    try {
      await client.connect()
      await client.query(`listen ${CHANGES_CHANNEL}`)
    } catch {
      void client.end()
      return void this.#reconnect()
    }
    // What was committed while nobody listened is not told any more.
    this.#tell({ kind: 'everything' })
    this.#client = client
    await this.#beat()
  }

  /** A beat that is sent from now on; a connection takes one statement at a time. */
  #beat(): Promise<void> {
    this.#nextBeat ??= (this.#beating ?? Promise.resolve()).then(() => {
      this.#nextBeat = null
      this.#beating = this.#sendBeat().finally(() => {
        this.#beating = null
      })
      return this.#beating
    })
    return this.#nextBeat
  }

  /** Never rejects: a beat that is not answered loses the connection. */
  async #sendBeat(): Promise<void> {
    const client = this.#client
    const sentAt = performance.now()
    try {
      await client?.query('select 1')
      if (client && client === this.#client && !this.#isClosed) this.#currentUntil = sentAt + LEASE_MS
    } catch {
      if (client) this.#lose(client)
    }
  }

  #lose(client: Client): void {
    if (client !== this.#client) return
    this.#client = null
    this.#currentUntil = 0
    if (this.#isClosed) return
    this.#logger.warn('changes in the database are not heard of: reads go to the database until they are')
    void client.end()
    void this.#reconnect()
  }

  async #reconnect(): Promise<void> {
    await setTimeout(RECONNECT_MS, undefined, { ref: false })
    if (!this.#isClosed) await this.#connect()
  }

  #tell(change: Change): void {
    for (const listener of this.#listeners) listener(change)
  }
}
