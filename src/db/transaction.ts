import type { Kysely } from 'kysely'
import type { DB } from './types.ts'
import { isOvertaken } from './unavailable.ts'

/**
 * All or nothing: in the transaction that is under way, or in one of its own, which is done a second time when it lost
 * against another one. So `work` does nothing but statements.
 */
export async function inTransaction<Result>(
  db: Kysely<DB>,
  work: (transaction: Kysely<DB>) => Promise<Result>,
): Promise<Result> {
  if (db.isTransaction) return work(db)
  try {
    return await db.transaction().execute(work)
  } catch (error) {
    if (!isOvertaken(error)) throw error
    return db.transaction().execute(work)
  }
}
