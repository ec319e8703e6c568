import { setTimeout } from 'node:timers/promises'
import type { Client } from 'pg'
import type { Logger } from '../logger.ts'
import { within } from '../within.ts'

/** The advisory lock that whoever runs a database's sessions holds: an arbitrary number, the same in every process. */
const LOCK = 7_235_190
const TRY_AGAIN_MS = 1_000
const CONNECT_TIMEOUT_MS = 5_000
const CLOSE_TIMEOUT_MS = 500

/** What to do when the sessions become this process' own, and when they are another's after that. */
export type ClaimEvents = { onGained(): void; onLost(): void }

/**
 * The right to run the sessions of a database, which one process has at a time: two links of one device would throw each
 * other out and break its keys. Another process that is started waits, and takes over when this one is gone. A connection
 * of its own holds the lock; when that breaks, the sessions go on until somebody else is found to have taken it.
 */
export class Claim {
  readonly #databaseUrl: string
  readonly #logger: Logger
  readonly #events: ClaimEvents
  readonly #stop = new AbortController()
  #client: Client | null = null
  #isOurs = false
  #trying: Promise<void> = Promise.resolve()

  constructor(databaseUrl: string, logger: Logger, events: ClaimEvents) {
    this.#databaseUrl = databaseUrl
    this.#logger = logger
    this.#events = events
  }

  /** Whether the right is this process' own, as far as it knows. */
  get isOurs(): boolean {
    return this.#isOurs
  }

  /** Tries at once, and as long as it takes after that. Resolves after the first try: true when it has worked. */
  async open(): Promise<boolean> {
    await this.#try()
    this.#trying = this.#keepTrying()
    return this.#isOurs
  }

  async close(): Promise<void> {
    this.#stop.abort()
    const closed = this.#trying.then(() => this.#client?.end().catch(() => undefined))
    // A database that is away is not waited for: what it still holds goes with the connection.
    await within(CLOSE_TIMEOUT_MS, closed)
  }

  async #keepTrying(): Promise<void> {
    for (;;) {
      await setTimeout(TRY_AGAIN_MS, undefined, { signal: this.#stop.signal, ref: false }).catch(() => undefined)
      if (this.#stop.signal.aborted) return
      await this.#check()
      if (!this.#client) await this.#try()
    }
  }

  /** A connection on which nothing moves may have been forgotten on the way, and its lock given to somebody else. */
  async #check(): Promise<void> {
    const client = this.#client
    try {
      await client?.query('select 1')
    } catch {
      if (this.#client === client) this.#client = null
      void client?.end().catch(() => undefined)
    }
  }

  async #try(): Promise<void> {
    const { Client } = (await import('pg')).default
    const client = new Client({
      connectionString: this.#databaseUrl,
      application_name: 'switchboard sessions',
      connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
      query_timeout: CONNECT_TIMEOUT_MS,
    })
    const forget = () => {
      if (this.#client === client) this.#client = null
    }
    client.on('error', forget).on('end', forget)
    try {
      await client.connect()
      const { rows } = await client.query<{ locked: boolean }>('select pg_try_advisory_lock($1) as locked', [LOCK])
      if (rows[0]?.locked) this.#client = client
      else await client.end()
      this.#note(rows[0]?.locked === true)
    } catch (error) {
      // Nobody can take it while the database is away.
      this.#logger.debug({ err: error }, 'the claim on the sessions could not be renewed yet')
      await client.end().catch(() => undefined)
    }
  }

  #note(isOurs: boolean): void {
    if (isOurs === this.#isOurs) return
    this.#isOurs = isOurs
    if (isOurs) this.#events.onGained()
    else this.#events.onLost()
  }
}
