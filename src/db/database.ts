import { existsSync } from 'node:fs'
import type { Socket } from 'node:net'
import { join } from 'node:path'
import type { PGlite } from '@electric-sql/pglite'
import { DEFAULT_MIGRATION_TABLE, Kysely, type LogEvent, PostgresDialect, sql } from 'kysely'
import type { Logger } from '../logger.ts'
import { within } from '../within.ts'
import { catchingUp } from './catching-up-dialect.ts'
import { type Change, type ChangeFeed, CHANGES_CHANNEL, parseChange } from './change.ts'
import { DataDirUnusable, makeDataDir } from './data-dir.ts'
import { DataDirInUse, lockDataDir } from './data-dir-lock.ts'
import { migrateToLatest } from './migrate.ts'
import { NoDatabase } from './no-database.ts'
import { PgliteDialect } from './pglite-dialect.ts'
import { PostgresChangeFeed } from './postgres-changes.ts'
import { PostgresSocket } from './postgres-socket.ts'
import type { DB } from './types.ts'
import { DatabaseUnreachable, isForbidden } from './unreachable.ts'

const OLDEST_POSTGRES = 15
const POOL_SIZE = 10
const CONNECT_TIMEOUT_MS = 5_000
/** Asked of the server; the client gives up a little later, when the server does not answer at all. */
const STATEMENT_TIMEOUT_MS = 10_000
const QUERY_TIMEOUT_MS = 11_000
const CLOSE_TIMEOUT_MS = 500
/** A process that is suspended within a transaction must not keep its locks: others have to claim its sessions. */
const IDLE_IN_TRANSACTION_MS = 5_000
/** For statements that are worth nothing when they are late. */
const URGENT_TIMEOUT_MS = 4_000

export type Database = {
  db: Kysely<DB>
  /** The same database, for those who do not wait until their writes have been told: nobody reads them from memory. */
  direct: Kysely<DB>
  /** The same on connections of its own, for what must not wait behind requests; null where nobody else has the database. */
  urgent: Kysely<DB> | null
  /** Whether it is an embedded one that was not there before, or has none of our tables yet. */
  isNew: boolean
  /** Brings the schema up to date, however long it takes; returns the names of the migrations that were applied. */
  migrate(): Promise<string[]>
  /** Starts to listen to what is committed, once migrated; from then on a write is over when this feed has told it. */
  watchChanges(): Promise<ChangeFeed>
  close(): Promise<void>
}

type DatabaseOptions = {
  /** null: the embedded database in `dataDir`. */
  databaseUrl: string | null
  dataDir: string
  /** Refuses where there is none yet, or none of our tables. */
  mustExist?: boolean
  logger: Logger
  /** Called after each statement, for counting. */
  onStatement?: ((event: LogEvent) => void) | undefined
}

/**
 * Opens PostgreSQL by its address, or the embedded database in `dataDir`.
 * @throws DatabaseUnreachable, ServerTooOld, DataDirInUse, DataDirUnusable, NoDatabase; each says what to do
 */
export const openDatabase = (options: DatabaseOptions): Promise<Database> =>
  options.databaseUrl === null ? openEmbedded(options) : openPostgres(options.databaseUrl, options)

async function openPostgres(
  databaseUrl: string,
  { dataDir, mustExist, logger, onStatement }: DatabaseOptions,
): Promise<Database> {
  const { Pool } = (await import('pg')).default
  const sockets = new Set<Socket>()
  const pool = new Pool({
    connectionString: databaseUrl,
    application_name: 'switchboard',
    max: POOL_SIZE,
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    statement_timeout: STATEMENT_TIMEOUT_MS,
    idle_in_transaction_session_timeout: IDLE_IN_TRANSACTION_MS,
    query_timeout: QUERY_TIMEOUT_MS,
    stream: () => trackedSocket(sockets, QUERY_TIMEOUT_MS),
  })
  const urgentPool = new Pool({
    connectionString: databaseUrl,
    application_name: 'switchboard lease',
    max: 2,
    connectionTimeoutMillis: URGENT_TIMEOUT_MS,
    statement_timeout: URGENT_TIMEOUT_MS,
    idle_in_transaction_session_timeout: IDLE_IN_TRANSACTION_MS,
    query_timeout: URGENT_TIMEOUT_MS,
    stream: () => trackedSocket(sockets, URGENT_TIMEOUT_MS),
  })
  // Without listeners a connection that breaks would end the process; the pool itself listens to idle ones only.
  for (const one of [pool, urgentPool]) {
    one.on('error', (error) => logger.warn({ err: error }, 'an idle database connection broke'))
    one.on('connect', (client) => {
      client.on('error', (error) => logger.debug({ err: error }, 'a database connection broke'))
    })
  }
  let changes: ChangeFeed | null = null
  const log = onStatement && { log: onStatement }
  const direct = new Kysely<DB>({ dialect: new PostgresDialect({ pool }), ...log })
  const urgent = new Kysely<DB>({ dialect: new PostgresDialect({ pool: urgentPool }) })
  const dialect = catchingUp(new PostgresDialect({ pool }), async () => changes?.catchUp())
  const db = new Kysely<DB>({ dialect, ...log })
  let isNew: boolean
  try {
    isNew = await look(db)
    if (mustExist && isNew) throw new NoDatabase({ databaseUrl, dataDir })
  } catch (error) {
    await Promise.all([db.destroy(), urgent.destroy()])
    // pg leaves one open whose login it has given up.
    for (const socket of sockets) socket.destroy()
    const isTold = error instanceof ServerTooOld || error instanceof NoDatabase
    throw isTold ? error : new DatabaseUnreachable(databaseUrl, error)
  }
  return {
    db,
    direct,
    urgent,
    isNew,
    migrate: () => migrateWithoutTimeouts(databaseUrl),
    watchChanges: async () => {
      changes = await PostgresChangeFeed.open(databaseUrl, logger)
      return changes
    },
    close: async () => {
      const closed = Promise.all([db.destroy(), urgent.destroy()]).then(() => true)
      if (await within(CLOSE_TIMEOUT_MS, closed)) return
      // A server that does not answer is not waited for: what is still asked of it fails, and the pool can end.
      for (const socket of sockets) socket.destroy()
      await closed
    },
  }
}

/** On connections of its own: another node's migration is waited for, and an index takes as long as it takes. */
async function migrateWithoutTimeouts(databaseUrl: string): Promise<string[]> {
  const { Pool } = (await import('pg')).default
  const pool = new Pool({ connectionString: databaseUrl, application_name: 'switchboard migration', max: 2 })
  pool.on('connect', (client) => client.on('error', () => undefined))
  const db = new Kysely<DB>({ dialect: new PostgresDialect({ pool }) })
  try {
    return await migrateToLatest(db)
  } catch (error) {
    throw isForbidden(error) ? new DatabaseUnreachable(databaseUrl, error) : error
  } finally {
    await db.destroy()
  }
}

function trackedSocket(sockets: Set<Socket>, silenceMs: number): Socket {
  const socket = new PostgresSocket()
  // pg takes a connection back whose statement was never answered; one that stays silent is of no use.
  socket.setTimeout(silenceMs, () => socket.destroy())
  sockets.add(socket)
  return socket.once('close', () => sockets.delete(socket))
}

class ServerTooOld extends Error {
  constructor(major: number) {
    super(
      `PostgreSQL ${major} is too old: use version ${OLDEST_POSTGRES} or newer, or unset DATABASE_URL to try the embedded database`,
    )
    this.name = 'ServerTooOld'
  }
}

/**
 * Whether a server has none of our tables.
 * @throws ServerTooOld
 */
async function look(db: Kysely<DB>): Promise<boolean> {
  const { rows } = await sql<{ version: number; isNew: boolean }>`
    select current_setting('server_version_num')::int as version, to_regclass(${DEFAULT_MIGRATION_TABLE}) is null as "isNew"
  `.execute(db)
  const { version = 0, isNew = true } = rows[0] ?? {}
  const major = Math.floor(version / 10_000)
  if (major < OLDEST_POSTGRES) throw new ServerTooOld(major)
  return isNew
}

/** PGlite reads bytea as a Uint8Array; pg, and so everything above, as a Buffer. */
const BYTEA = 17
const PG_PARSERS = { [BYTEA]: (hex: string) => Buffer.from(hex.slice(2), 'hex') }

async function openEmbedded({ databaseUrl, dataDir, mustExist, onStatement }: DatabaseOptions): Promise<Database> {
  if (mustExist && !existsSync(dataDir)) throw new NoDatabase({ databaseUrl, dataDir })
  const unlock = await takeDataDir(dataDir)
  try {
    const folder = join(dataDir, 'postgres')
    const isNew = !existsSync(join(folder, 'PG_VERSION'))
    if (mustExist && isNew) throw new NoDatabase({ databaseUrl, dataDir })
    const { PGlite } = await import('@electric-sql/pglite')
    const pglite = await PGlite.create({ dataDir: folder, parsers: PG_PARSERS })
    const db = new Kysely<DB>({ dialect: new PgliteDialect(pglite), ...(onStatement && { log: onStatement }) })
    return {
      db,
      direct: db,
      urgent: null,
      isNew,
      migrate: () => migrateToLatest(db),
      watchChanges: () => watchEmbedded(pglite),
      close: async () => {
        await db.destroy()
        unlock()
      },
    }
  } catch (error) {
    unlock()
    throw error
  }
}

/** @throws DataDirInUse, DataDirUnusable */
async function takeDataDir(dataDir: string): Promise<() => void> {
  try {
    makeDataDir(dataDir)
    return await lockDataDir(dataDir)
  } catch (error) {
    throw error instanceof DataDirInUse ? error : new DataDirUnusable(dataDir, error)
  }
}

/** PGlite tells of a change before the commit's promise resolves, and nobody else writes to it. */
async function watchEmbedded(pglite: PGlite): Promise<ChangeFeed> {
  const listeners = new Set<(change: Change) => void>()
  const stop = await pglite.listen(CHANGES_CHANNEL, (notice) => {
    for (const listener of listeners) listener(parseChange(notice))
  })
  return {
    isCurrent: () => true,
    confirm: async () => true,
    listen: (listener) => {
      listeners.add(listener)
      return () => void listeners.delete(listener)
    },
    catchUp: async () => {},
    close: () => stop(),
  }
}
