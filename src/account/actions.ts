import { randomUUID } from 'node:crypto'
import type { Kysely } from 'kysely'
import { isUniqueViolation } from '../db/constraint.ts'
import { inTransaction } from '../db/transaction.ts'
import type { DB } from '../db/types.ts'
import { badUserInput, GatewayError } from '../errors.ts'
import { type Instance, listInstances } from '../instance/queries.ts'
import { NAME_RULE, parseName } from '../name.ts'
import { insertToken, revokeTokensOf } from '../token/actions.ts'
import { listTokenIdsOf } from '../token/queries.ts'
import { generateToken } from '../token/token.ts'
import { type Account, findAccountByName } from './queries.ts'

export type CreatedAccount = { id: string; name: string; token: string }

/**
 * Makes an account and its TokenAccount, which is returned this once.
 * @throws GatewayError BAD_USER_INPUT, CONFLICT
 */
export async function createAccount(
  db: Kysely<DB>,
  input: { name: string; quota?: number | undefined; token?: string | undefined },
): Promise<CreatedAccount> {
  const name = parseName(input.name)
  if (name === null) throw badUserInput('name', `The account name cannot be used; it has to be ${NAME_RULE}`)
  const id = randomUUID()
  const token = input.token ?? generateToken('account')
  try {
    await inTransaction(db, async (transaction) => {
      await transaction
        .insertInto('accounts')
        .values({ id, name, instance_quota: input.quota ?? null })
        .execute()
      await insertToken(transaction, { kind: 'account', accountId: id, token })
    })
  } catch (error) {
    if (isUniqueViolation(error, 'accounts_name_key')) {
      throw new GatewayError('CONFLICT', `There is an account named ${name} already. Choose another name`)
    }
    throw error
  }
  return { id, name, token }
}

/** @throws GatewayError BAD_USER_INPUT when there is none */
export async function getAccountByName(db: Kysely<DB>, name: string): Promise<Account> {
  const account = await findAccountByName(db, parseName(name) ?? name)
  if (!account) throw noAccount(name)
  return account
}

const noAccount = (name: string) =>
  badUserInput('account', `There is no account named ${name}. "account list" shows those that exist`)

/**
 * Deletes an account with its tokens, its instances and all that belongs to them; returns the instances as they were, and
 * the ids of all their tokens.
 */
export async function deleteAccount(
  db: Kysely<DB>,
  name: string,
): Promise<{ id: string; name: string; instances: Instance[]; tokenIds: string[] }> {
  const account = await getAccountByName(db, name)
  return inTransaction(db, async (transaction) => {
    // So that no instance is made between the look at them and their end.
    await lockAccount(transaction, account)
    const instances = await listInstances(transaction, { kind: 'account', accountId: account.id })
    const tokenIds = await listTokenIdsOf(transaction, { accountId: account.id })
    await transaction.deleteFrom('accounts').where('id', '=', account.id).execute()
    return { id: account.id, name: account.name, instances, tokenIds }
  })
}

/** @throws GatewayError BAD_USER_INPUT when it was deleted meanwhile */
async function lockAccount(transaction: Kysely<DB>, { id, name }: Account): Promise<void> {
  const locked = await transaction
    .selectFrom('accounts')
    .select('id')
    .where('id', '=', id)
    .forUpdate()
    .executeTakeFirst()
  if (!locked) throw noAccount(name)
}

/** Replaces the TokenAccount: the old one fails on its next request. Its streams are for the caller to end. */
export async function rotateAccountToken(
  db: Kysely<DB>,
  name: string,
): Promise<CreatedAccount & { revokedIds: string[] }> {
  const account = await getAccountByName(db, name)
  const token = generateToken('account')
  const revokedIds = await inTransaction(db, async (transaction) => {
    // So that of two rotations the later one finds the token of the other.
    await lockAccount(transaction, account)
    const revoked = await revokeTokensOf(transaction, { accountId: account.id })
    await insertToken(transaction, { kind: 'account', accountId: account.id, token })
    return revoked
  })
  return { id: account.id, name: account.name, token, revokedIds }
}
