import type { Kysely } from 'kysely'
import type { DB } from './types.ts'

/** All or nothing: in the transaction that is under way, or in one of its own. */
export const inTransaction = <Result>(
  db: Kysely<DB>,
  work: (transaction: Kysely<DB>) => Promise<Result>,
): Promise<Result> => (db.isTransaction ? work(db) : db.transaction().execute(work))
