import { type Kysely, sql } from 'kysely'
import type { DB } from '../db/types.ts'

export type Account = {
  id: string
  name: string
  /** null: no quota. */
  instanceQuota: number | null
  createdAt: Date
}

const columns = ['id', 'name', 'instance_quota as instanceQuota', 'created_at as createdAt'] as const

export const listAccounts = (db: Kysely<DB>): Promise<Account[]> =>
  db.selectFrom('accounts').select(columns).orderBy('created_at').orderBy('id').execute()

export const listAccountsById = (db: Kysely<DB>, ids: readonly string[]): Promise<Account[]> =>
  db
    .selectFrom('accounts')
    .select(columns)
    .where(sql<boolean>`id = any(${ids}::uuid[])`)
    .execute()

export const findAccountByName = (db: Kysely<DB>, name: string): Promise<Account | undefined> =>
  db.selectFrom('accounts').select(columns).where('name', '=', name).executeTakeFirst()

export async function countInstancesOf(db: Kysely<DB>, accountId: string): Promise<number> {
  const { count } = await db
    .selectFrom('instances')
    .select(sql<number>`count(*)::int`.as('count'))
    .where('account_id', '=', accountId)
    .executeTakeFirstOrThrow()
  return count
}
