import { type Kysely, sql } from 'kysely'
import type { DesiredConnectionState, StopReason } from '../connection/state.ts'
import { inTransaction } from '../db/transaction.ts'
import type { DB } from '../db/types.ts'
import { type Instance, instanceColumns } from '../instance/queries.ts'
import type { Profile } from '../profile/queries.ts'
import { deleteAuthState, writeSealedCreds } from './auth-queries.ts'
import { isOwner, type Owned } from './fence.ts'

/*
 * The durable facts that sessions leave in an instance's row, each returning the row as it is then; undefined when the
 * instance is gone, or another node owns the session by now. Whether it is connected is never among them.
 */

const NOT_STOPPED = { stop_reason: null, stop_whatsapp_code: null, stopped_at: null }
const CHANGED = { updated_at: sql<Date>`clock_timestamp()` }

const update = (db: Kysely<DB>, owned: Owned) =>
  db.updateTable('instances').where('id', '=', owned.instanceId).where(isOwner(owned)).returning(instanceColumns)

/** What was asked for. Asking for a link forgets why the last one was given up. */
export const writeDesiredState = (
  db: Kysely<DB>,
  owned: Owned,
  desired: DesiredConnectionState,
): Promise<Instance | undefined> =>
  update(db, owned)
    .set({ desired_state: desired, ...(desired === 'connected' && NOT_STOPPED) })
    .executeTakeFirst()

/** A phone has accepted the device: its number, and the credentials without which that would be lost. */
export const writePaired = (
  db: Kysely<DB>,
  owned: Owned,
  { numberJid, sealedCreds }: { numberJid: string; sealedCreds: Buffer },
): Promise<Instance | undefined> =>
  inTransaction(db, async (transaction) => {
    const instance = await update(transaction, owned)
      .set({
        number_jid: numberJid,
        paired_at: sql`clock_timestamp()`,
        logged_out_at: null,
        ...NOT_STOPPED,
        ...CHANGED,
      })
      .executeTakeFirst()
    if (instance) await writeSealedCreds(transaction, owned, sealedCreds)
    return instance
  })

/** The pairing is over, and what it left is deleted. The number stays as the one that was last connected. */
export const writeLoggedOut = (db: Kysely<DB>, owned: Owned): Promise<Instance | undefined> =>
  inTransaction(db, async (transaction) => {
    await deleteAuthState(transaction, owned)
    return update(transaction, owned)
      .set({ logged_out_at: sql`clock_timestamp()`, ...NOT_STOPPED, ...CHANGED })
      .executeTakeFirst()
  })

/** The session was given up; the credentials stay. */
export const writeStopped = (
  db: Kysely<DB>,
  owned: Owned,
  reason: StopReason,
  whatsappCode: number | null,
): Promise<Instance | undefined> =>
  update(db, owned)
    .set({ stop_reason: reason, stop_whatsapp_code: whatsappCode, stopped_at: sql`clock_timestamp()`, ...CHANGED })
    .executeTakeFirst()

/** What a session has seen of the profile; only what is given is written. */
export const writeProfile = (db: Kysely<DB>, owned: Owned, profile: Partial<Profile>): Promise<Instance | undefined> =>
  update(db, owned)
    .set({
      profile_name: profile.name,
      profile_picture_url: profile.pictureUrl,
      is_business: profile.isBusiness,
      business_name: profile.businessName,
      profile_observed_at: sql`clock_timestamp()`,
      ...CHANGED,
    })
    .executeTakeFirst()

/**
 * A new client version comes with a new start: those that were too old are tried again, unless a session is there to say.
 * The rows of owners are locked as they were found: one that has been claimed meanwhile is left to its owner.
 */
export const forgetOutdatedClients = async (db: Kysely<DB>): Promise<void> => {
  await sql`
    with unowned as (
      select instance_id, session_owners.epoch from session_owners join instances on instances.id = instance_id
      where stop_reason = 'CLIENT_OUTDATED'
        and not exists (select from nodes where nodes.id = node_id and nodes.epoch = node_epoch)
    ), locked as (
      select session_owners.instance_id from session_owners join unowned using (instance_id, epoch)
      for update of session_owners skip locked
    )
    update instances set stop_reason = null, stop_whatsapp_code = null, stopped_at = null
    from locked where id = locked.instance_id and stop_reason = 'CLIENT_OUTDATED'`.execute(db)
}

/** Those of the ids whose instances exist. */
export async function listExisting(db: Kysely<DB>, ids: readonly string[]): Promise<string[]> {
  if (ids.length === 0) return []
  const rows = await db
    .selectFrom('instances')
    .select('id')
    .where(sql<boolean>`id = any(${ids}::uuid[])`)
    .execute()
  return rows.map(({ id }) => id)
}

/** Whether a session still owns its instance; null when the instance is gone. */
export async function isStillOwner(db: Kysely<DB>, { instanceId, epoch }: Owned): Promise<boolean | null> {
  const row = await db
    .selectFrom('session_owners')
    .select(sql<boolean>`epoch = ${epoch}`.as('isOwner'))
    .where('instance_id', '=', instanceId)
    .executeTakeFirst()
  return row?.isOwner ?? null
}
