import { type Kysely, sql } from 'kysely'
import type { DB } from '../db/types.ts'
import { inTransaction } from '../db/transaction.ts'
import { isOwner, NotOurs, type Owned } from './fence.ts'

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

/** @throws NotOurs */
export async function writeSealedCreds(db: Kysely<DB>, owned: Owned, sealed: Buffer): Promise<void> {
  const { numAffectedRows } = await sql`
    insert into auth_creds (instance_id, creds_sealed) select ${owned.instanceId}::uuid, ${sealed}::bytea where ${isOwner(owned)}
    on conflict (instance_id) do update set creds_sealed = excluded.creds_sealed, updated_at = now()`.execute(db)
  if (numAffectedRows === 0n) throw new NotOurs()
}

export const listSealedKeys = (db: Kysely<DB>, instanceId: string, type: string, ids: readonly string[]) =>
  db
    .selectFrom('auth_keys')
    .select(['id', 'value_sealed as sealed'])
    .where('instance_id', '=', instanceId)
    .where('type', '=', type)
    .where(sql<boolean>`id = any(${ids}::text[])`)
    .execute()

const named = (keys: readonly SealedKey[]) =>
  sql`${keys.map(({ type }) => type)}::text[], ${keys.map(({ id }) => id)}::text[]`

/**
 * All of them or none, whatever their number: the first 812 keys of a new device are one statement. In the order in which
 * a rotation of the encryption key locks them, or the two would wait for each other.
 */
export async function writeSealedKeys(db: Kysely<DB>, owned: Owned, keys: readonly SealedKey[]): Promise<void> {
  const kept = keys.filter(({ sealed }) => sealed !== null)
  const gone = keys.filter(({ sealed }) => sealed === null)
  await inTransaction(db, async (transaction) => {
    if (gone.length > 0) {
      // A deletion takes the rows in an order of its own, and comes after what is kept.
      await sql`
        select from auth_keys where instance_id = ${owned.instanceId} and (type, id) in (select * from unnest(${named(keys)}))
        order by type, id for update`.execute(transaction)
    }
    if (kept.length > 0) {
      const { numAffectedRows } = await sql`
        insert into auth_keys (instance_id, type, id, value_sealed)
        select ${owned.instanceId}::uuid, key.type, key.id, key.value
        from unnest(${named(kept)}, ${kept.map(({ sealed }) => sealed)}::bytea[]) as key(type, id, value)
        where ${isOwner(owned)}
        order by key.type collate "C", key.id collate "C"
        on conflict (instance_id, type, id) do update set value_sealed = excluded.value_sealed`.execute(transaction)
      if (numAffectedRows === 0n) throw new NotOurs()
    }
    if (gone.length > 0) {
      await sql`
        delete from auth_keys using unnest(${named(gone)}) as key(type, id)
        where auth_keys.instance_id = ${owned.instanceId} and auth_keys.type = key.type and auth_keys.id = key.id
          and ${isOwner(owned)}`.execute(transaction)
    }
  })
}

/** Forgets a pairing: only after a real logout. */
export async function deleteAuthState(db: Kysely<DB>, owned: Owned): Promise<void> {
  const { instanceId } = owned
  await db.deleteFrom('auth_creds').where('instance_id', '=', instanceId).where(isOwner(owned)).execute()
  await db.deleteFrom('auth_keys').where('instance_id', '=', instanceId).where(isOwner(owned)).execute()
}
