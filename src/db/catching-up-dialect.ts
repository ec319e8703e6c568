import type { CompiledQuery, DatabaseConnection, Dialect, Driver, QueryResult, TransactionSettings } from 'kysely'

/**
 * A dialect whose writes are over when this node has heard of them: whoever is told that something was written reads it
 * from then on, also from memory. A commit is followed by `catchUp`, and so is a writing statement outside a transaction.
 */
export const catchingUp = (dialect: Dialect, catchUp: () => Promise<void>): Dialect => ({
  createAdapter: () => dialect.createAdapter(),
  createQueryCompiler: () => dialect.createQueryCompiler(),
  createIntrospector: (db) => dialect.createIntrospector(db),
  createDriver: () => new CatchingUpDriver(dialect.createDriver(), catchUp),
})

class CatchingUpDriver implements Driver {
  readonly #driver: Driver
  readonly #catchUp: () => Promise<void>

  constructor(driver: Driver, catchUp: () => Promise<void>) {
    this.#driver = driver
    this.#catchUp = catchUp
  }

  init = () => this.#driver.init()
  acquireConnection = async () => new CatchingUpConnection(await this.#driver.acquireConnection(), this.#catchUp)
  releaseConnection = ({ inner }: CatchingUpConnection) => this.#driver.releaseConnection(inner)
  destroy = () => this.#driver.destroy()

  async beginTransaction(connection: CatchingUpConnection, settings: TransactionSettings): Promise<void> {
    connection.isInTransaction = true
    await this.#driver.beginTransaction(connection.inner, settings)
  }

  async commitTransaction(connection: CatchingUpConnection): Promise<void> {
    connection.isInTransaction = false
    await this.#driver.commitTransaction(connection.inner)
    await this.#catchUp()
  }

  async rollbackTransaction(connection: CatchingUpConnection): Promise<void> {
    connection.isInTransaction = false
    await this.#driver.rollbackTransaction(connection.inner)
  }
}

class CatchingUpConnection implements DatabaseConnection {
  readonly inner: DatabaseConnection
  isInTransaction = false
  readonly #catchUp: () => Promise<void>

  constructor(inner: DatabaseConnection, catchUp: () => Promise<void>) {
    this.inner = inner
    this.#catchUp = catchUp
  }

  async executeQuery<Row>(query: CompiledQuery): Promise<QueryResult<Row>> {
    const result = await this.inner.executeQuery<Row>(query)
    if (!this.isInTransaction && query.query.kind !== 'SelectQueryNode') await this.#catchUp()
    return result
  }

  streamQuery = <Row>(query: CompiledQuery, chunkSize?: number) => this.inner.streamQuery<Row>(query, chunkSize)
}
