import type { PGlite } from '@electric-sql/pglite'
import {
  CompiledQuery,
  type DatabaseConnection,
  type Dialect,
  type Driver,
  type Kysely,
  PostgresAdapter,
  PostgresIntrospector,
  PostgresQueryCompiler,
  type QueryResult,
} from 'kysely'

/** Kysely over PGlite, whose single session is lent to one user at a time. */
export class PgliteDialect implements Dialect {
  readonly #pglite: PGlite

  constructor(pglite: PGlite) {
    this.#pglite = pglite
  }

  createAdapter = () => new PostgresAdapter()
  createDriver = () => new PgliteDriver(this.#pglite)
  createQueryCompiler = () => new PostgresQueryCompiler()
  createIntrospector = (db: Kysely<unknown>) => new PostgresIntrospector(db)
}

class PgliteDriver implements Driver {
  readonly #pglite: PGlite
  readonly #connection: PgliteConnection
  readonly #waiting: (() => void)[] = []
  #lent = false

  constructor(pglite: PGlite) {
    this.#pglite = pglite
    this.#connection = new PgliteConnection(pglite)
  }

  init = async () => this.#pglite.waitReady

  async acquireConnection(): Promise<DatabaseConnection> {
    if (this.#lent) await new Promise<void>((lend) => this.#waiting.push(lend))
    this.#lent = true
    return this.#connection
  }

  async releaseConnection(): Promise<void> {
    const lendToNext = this.#waiting.shift()
    if (lendToNext) lendToNext()
    else this.#lent = false
  }

  beginTransaction = async () => void (await this.#connection.executeQuery(CompiledQuery.raw('begin')))
  commitTransaction = async () => void (await this.#connection.executeQuery(CompiledQuery.raw('commit')))
  rollbackTransaction = async () => void (await this.#connection.executeQuery(CompiledQuery.raw('rollback')))

  destroy = () => this.#pglite.close()
}

class PgliteConnection implements DatabaseConnection {
  readonly #pglite: PGlite

  constructor(pglite: PGlite) {
    this.#pglite = pglite
  }

  async executeQuery<R>({ sql, parameters }: CompiledQuery): Promise<QueryResult<R>> {
    const { rows, affectedRows } = await this.#pglite.query<R>(sql, [...parameters])
    return { rows, numAffectedRows: BigInt(affectedRows ?? 0) }
  }

  streamQuery(): never {
    throw new Error('The embedded database does not stream rows')
  }
}
