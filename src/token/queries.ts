import { type Kysely, sql } from 'kysely'
import type { DB } from '../db/types.ts'
import type { Viewer } from '../viewer/viewer.ts'

/** A token that was not revoked, with the viewer that it stands for. */
export type LiveToken = { id: string; viewer: Viewer }

export async function findTokenByDigest(db: Kysely<DB>, digest: Buffer): Promise<LiveToken | undefined> {
  const row = await db
    .selectFrom('tokens')
    .leftJoin('instances', 'instances.id', 'tokens.instance_id')
    .select(['tokens.id', 'tokens.account_id', 'tokens.instance_id', 'instances.account_id as within'])
    .where('digest', '=', digest)
    .where('revoked_at', 'is', null)
    .executeTakeFirst()
  if (row?.account_id) return { id: row.id, viewer: { kind: 'account', accountId: row.account_id } }
  if (row?.instance_id && row.within) {
    return { id: row.id, viewer: { kind: 'instance', instanceId: row.instance_id, within: row.within } }
  }
  return undefined
}

/** Those of the ids whose tokens were not revoked. */
export async function listLiveTokens(db: Kysely<DB>, ids: readonly string[]): Promise<string[]> {
  const rows = await db
    .selectFrom('tokens')
    .select('id')
    .where(sql<boolean>`id = any(${ids}::uuid[])`)
    .where('revoked_at', 'is', null)
    .execute()
  return rows.map(({ id }) => id)
}

/** The ids of all tokens of an account and of its instances, or of one instance. */
export async function listTokenIdsOf(
  db: Kysely<DB>,
  owner: { accountId: string } | { instanceId: string },
): Promise<string[]> {
  const tokens = db.selectFrom('tokens').select('id')
  const owned =
    'instanceId' in owner
      ? tokens.where('instance_id', '=', owner.instanceId)
      : tokens.where(({ eb, or, selectFrom }) =>
          or([
            eb('account_id', '=', owner.accountId),
            eb('instance_id', 'in', selectFrom('instances').select('id').where('account_id', '=', owner.accountId)),
          ]),
        )
  const rows = await owned.execute()
  return rows.map(({ id }) => id)
}

/** All tokens of an account and of its instances, oldest first, without anything that could be used as one. */
export async function listTokens(db: Kysely<DB>, accountId: string) {
  const columns = [
    'tokens.id',
    'tokens.kind',
    'tokens.label',
    'instances.name as instance',
    'tokens.created_at as createdAt',
    'tokens.last_used_at as lastUsedAt',
    'tokens.revoked_at as revokedAt',
  ] as const
  const tokens = db.selectFrom('tokens').leftJoin('instances', 'instances.id', 'tokens.instance_id').select(columns)
  return tokens
    .where('tokens.account_id', '=', accountId)
    .unionAll(tokens.where('instances.account_id', '=', accountId))
    .orderBy('createdAt')
    .orderBy('id')
    .execute()
}
