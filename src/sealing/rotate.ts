import { type Kysely, sql } from 'kysely'
import type { DB } from '../db/types.ts'
import type { Logger } from '../logger.ts'
import { SEALED_COLUMNS, type SealedColumn } from './columns.ts'
import { type Sealer, UnreadableSecret } from './sealer.ts'

/** Rows that one statement looks at, whatever it finds: a table may have millions, and a statement ten seconds. */
const PAGE = 200

export type Rotation = {
  /** Secrets that were sealed anew. */
  resealed: number
  /** Secrets that could not be read and stay as they are. */
  unreadable: { table: string; column: string; row: string }[]
}

/**
 * Seals everything anew that another key than the current one sealed, a page a transaction: it may be interrupted at any
 * time and run again, and beside a running gateway. What the current key sealed is opened, to see that it can be.
 */
export async function rotateKeys(db: Kysely<DB>, sealer: Sealer, logger: Logger): Promise<Rotation> {
  const rotation: Rotation = { resealed: 0, unreadable: [] }
  for (const place of SEALED_COLUMNS) {
    let after: RowKey | null = null
    for (;;) {
      const last: RowKey | null = await endOfPage(db, place, after)
      if (last === null) break
      await resealPage(db, sealer, logger, place, { after, last }, rotation)
      after = last
    }
  }
  return rotation
}

/** The values of the columns that identify a row. */
type RowKey = string[]
type Row = { sealed: Buffer } & Record<`key${number}`, string>

const keyOf = (row: Row, { key }: SealedColumn): RowKey => key.map((_, index) => row[`key${index}`] ?? '')

/** `a, b, c`, with each of them called key0, key1, … when `isNamed`. */
const columns = ({ key }: SealedColumn, isNamed = false) =>
  sql.join(key.map((name, index) => (isNamed ? sql`${sql.ref(name)} as ${sql.ref(`key${index}`)}` : sql.ref(name))))

const isAfter = (place: SealedColumn, after: RowKey | null) =>
  after === null ? sql`true` : sql`(${columns(place)}) > (${sql.join(after)})`

/** The last row of the next page; null when there is no row any more. */
async function endOfPage(db: Kysely<DB>, place: SealedColumn, after: RowKey | null): Promise<RowKey | null> {
  const { rows } = await sql<Row>`
    select ${columns(place, true)} from ${sql.table(place.table)}
    where ${isAfter(place, after)} order by ${columns(place)} limit ${PAGE}`.execute(db)
  const last = rows.at(-1)
  return last ? keyOf(last, place) : null
}

function resealPage(
  db: Kysely<DB>,
  sealer: Sealer,
  logger: Logger,
  sealedColumn: SealedColumn,
  { after, last }: { after: RowKey | null; last: RowKey },
  rotation: Rotation,
): Promise<void> {
  const { table, column } = sealedColumn
  const [tableRef, columnRef, keyRefs] = [sql.table(table), sql.ref(column), columns(sealedColumn)]
  return db.transaction().execute(async (transaction) => {
    const { rows } = await sql<Row>`
      select ${columns(sealedColumn, true)}, ${columnRef} as sealed from ${tableRef}
      where ${isAfter(sealedColumn, after)} and (${keyRefs}) <= (${sql.join(last)}) and ${columnRef} is not null
      order by ${keyRefs} for update`.execute(transaction)
    for (const row of rows) {
      const key = keyOf(row, sealedColumn)
      const place = { table, column, rowId: key.join('/') }
      try {
        const secret = sealer.unseal(place, row.sealed)
        if (sealer.isCurrent(row.sealed)) continue
        const resealed = sealer.seal(place, secret)
        await sql`update ${tableRef} set ${columnRef} = ${resealed} where (${keyRefs}) = (${sql.join(key)})`.execute(
          transaction,
        )
        rotation.resealed++
      } catch (error) {
        if (!(error instanceof UnreadableSecret)) throw error
        logger.error({ table, column, row: place.rowId, reason: error.message }, 'a sealed secret cannot be read')
        rotation.unreadable.push({ table, column, row: place.rowId })
      }
    }
  })
}
