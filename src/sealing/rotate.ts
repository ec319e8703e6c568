import { type Kysely, sql } from 'kysely'
import type { DB } from '../db/types.ts'
import type { Logger } from '../logger.ts'
import { SEALED_COLUMNS } from './columns.ts'
import { type Sealer, UnreadableSecret } from './sealer.ts'

const BATCH = 100

export type Rotation = {
  /** Secrets that were sealed anew. */
  resealed: number
  /** Secrets that could not be read and stay as they are. */
  unreadable: { table: string; column: string; row: string }[]
}

/**
 * Seals everything anew that another key than the current one sealed, a batch a transaction: it may be interrupted at
 * any time and run again, and beside a running gateway. What the current key sealed is opened, to see that it can be.
 */
export async function rotateKeys(db: Kysely<DB>, sealer: Sealer, logger: Logger): Promise<Rotation> {
  const rotation: Rotation = { resealed: 0, unreadable: [] }
  for (const place of SEALED_COLUMNS) {
    let after = NIL
    for (;;) {
      const last = await resealBatch(db, sealer, logger, place, after, rotation)
      if (last === null) break
      after = last
    }
  }
  return rotation
}

const NIL = '00000000-0000-0000-0000-000000000000'

/** The id of the batch's last row, or null when there was none. */
async function resealBatch(
  db: Kysely<DB>,
  sealer: Sealer,
  logger: Logger,
  { table, column, rowId }: (typeof SEALED_COLUMNS)[number],
  after: string,
  rotation: Rotation,
): Promise<string | null> {
  const [tableRef, columnRef, idRef] = [sql.table(table), sql.ref(column), sql.ref(rowId)]
  return db.transaction().execute(async (transaction) => {
    const { rows } = await sql<{ id: string; sealed: Buffer }>`
      select ${idRef} as id, ${columnRef} as sealed from ${tableRef}
      where ${idRef} > ${after} and ${columnRef} is not null
      order by ${idRef} limit ${BATCH} for update`.execute(transaction)
    for (const { id, sealed } of rows) {
      const place = { table, column, rowId: id }
      try {
        const secret = sealer.unseal(place, sealed)
        if (sealer.isCurrent(sealed)) continue
        const resealed = sealer.seal(place, secret)
        await sql`update ${tableRef} set ${columnRef} = ${resealed} where ${idRef} = ${id}`.execute(transaction)
        rotation.resealed++
      } catch (error) {
        if (!(error instanceof UnreadableSecret)) throw error
        logger.error({ table, column, row: id, reason: error.message }, 'a sealed secret cannot be read')
        rotation.unreadable.push({ table, column, row: id })
      }
    }
    return rows.at(-1)?.id ?? null
  })
}
