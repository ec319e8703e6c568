import { type Kysely, sql } from 'kysely'
import type { DB } from '../db/types.ts'
import { inTransaction } from '../db/transaction.ts'

/** One Signal key as it is stored; null: to be deleted. */
export type SealedKey = { type: string; id: string; sealed: Buffer | null }

export const findSealedCreds = async (db: Kysely<DB>, instanceId: string): Promise<Buffer | null> => {
  const row = await db
    .selectFrom('auth_creds')
    .select('creds_sealed')
    .where('instance_id', '=', instanceId)
    .executeTakeFirst()
  return row?.creds_sealed ?? null
}

export const writeSealedCreds = async (db: Kysely<DB>, instanceId: string, sealed: Buffer): Promise<void> => {
  const row = { creds_sealed: sealed, updated_at: sql<Date>`now()` }
  await db
    .insertInto('auth_creds')
    .values({ instance_id: instanceId, ...row })
    .onConflict((conflict) => conflict.column('instance_id').doUpdateSet(row))
    .execute()
}

export const listSealedKeys = (db: Kysely<DB>, instanceId: string, type: string, ids: readonly string[]) =>
  db
    .selectFrom('auth_keys')
    .select(['id', 'value_sealed as sealed'])
    .where('instance_id', '=', instanceId)
    .where('type', '=', type)
    .where(sql<boolean>`id = any(${ids}::text[])`)
    .execute()

/**
 * All of them or none, whatever their number: the first 812 keys of a new device are one statement. In the order in which
 * a rotation of the encryption key locks them, or the two would wait for each other.
 */
export async function writeSealedKeys(db: Kysely<DB>, instanceId: string, keys: readonly SealedKey[]): Promise<void> {
  const kept = keys.filter(({ sealed }) => sealed !== null)
  const gone = keys.filter(({ sealed }) => sealed === null)
  await inTransaction(db, async (transaction) => {
    if (kept.length > 0) {
      await sql`
        insert into auth_keys (instance_id, type, id, value_sealed)
        select ${instanceId}, key.type, key.id, key.value
        from unnest(
          ${kept.map(({ type }) => type)}::text[], ${kept.map(({ id }) => id)}::text[],
          ${kept.map(({ sealed }) => sealed)}::bytea[]
        ) as key(type, id, value)
        order by key.type collate "C", key.id collate "C"
        on conflict (instance_id, type, id) do update set value_sealed = excluded.value_sealed`.execute(transaction)
    }
    if (gone.length > 0) {
      await sql`
        delete from auth_keys using unnest(
          ${gone.map(({ type }) => type)}::text[], ${gone.map(({ id }) => id)}::text[]
        ) as key(type, id)
        where auth_keys.instance_id = ${instanceId} and auth_keys.type = key.type and auth_keys.id = key.id`.execute(
        transaction,
      )
    }
  })
}

/** Forgets a pairing: only after a real logout. */
export async function deleteAuthState(db: Kysely<DB>, instanceId: string): Promise<void> {
  await db.deleteFrom('auth_creds').where('instance_id', '=', instanceId).execute()
  await db.deleteFrom('auth_keys').where('instance_id', '=', instanceId).execute()
}
