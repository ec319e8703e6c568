import { randomUUID } from 'node:crypto'
import { type Kysely, sql } from 'kysely'
import { isUniqueViolation } from '../db/constraint.ts'
import type { DB } from '../db/types.ts'
import { badUserInput, GatewayError } from '../errors.ts'
import { isUuid } from '../uuid.ts'
import { CHOSEN_TOKEN_RULE, digestToken } from './token.ts'

type NewToken = { token: string } & ({ kind: 'account'; accountId: string } | { kind: 'instance'; instanceId: string })

const TOKEN_FIELD = 'input.token'

/** What a chosen token is told that is weak, and one that is in use: a conflict would confirm somebody's live token. */
export const refusedToken = () =>
  badUserInput(TOKEN_FIELD, `The token cannot be used. It has to be ${CHOSEN_TOKEN_RULE}; try another one`)

export const isRefusedToken = (error: unknown): error is GatewayError =>
  error instanceof GatewayError && error.details.field === TOKEN_FIELD

/**
 * Stores the digest of a token.
 * @throws GatewayError BAD_USER_INPUT when the token is in use anywhere
 */
export async function insertToken(db: Kysely<DB>, owner: NewToken): Promise<void> {
  try {
    await db
      .insertInto('tokens')
      .values({
        id: randomUUID(),
        kind: owner.kind,
        account_id: owner.kind === 'account' ? owner.accountId : null,
        instance_id: owner.kind === 'instance' ? owner.instanceId : null,
        digest: digestToken(owner.token),
      })
      .execute()
  } catch (error) {
    throw isUniqueViolation(error, 'tokens_digest_key') ? refusedToken() : error
  }
}

/** Ends every live token of an account itself (not of its instances), or of one instance; returns their ids. */
export async function revokeTokensOf(
  db: Kysely<DB>,
  owner: { accountId: string } | { instanceId: string },
): Promise<string[]> {
  const [column, id] =
    'accountId' in owner ? (['account_id', owner.accountId] as const) : (['instance_id', owner.instanceId] as const)
  const revoked = await db
    .updateTable('tokens')
    .set({ revoked_at: sql`now()` })
    .where(column, '=', id)
    .where('revoked_at', 'is', null)
    .returning('id')
    .execute()
  return revoked.map((token) => token.id)
}

/**
 * Ends one token; one that has ended already keeps its time.
 * @throws GatewayError BAD_USER_INPUT when there is no such token
 */
export async function revokeToken(db: Kysely<DB>, id: string): Promise<{ id: string; revokedAt: Date }> {
  const revoked = isUuid(id)
    ? await db
        .updateTable('tokens')
        .set({ revoked_at: sql`coalesce(revoked_at, now())` })
        .where('id', '=', id)
        .returning(['id', 'revoked_at as revokedAt'])
        .executeTakeFirst()
    : undefined
  if (!revoked?.revokedAt) throw badUserInput('id', `There is no token with the id ${id}. "token list" shows the ids`)
  return { id: revoked.id, revokedAt: revoked.revokedAt }
}
