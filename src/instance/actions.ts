import { randomUUID } from 'node:crypto'
import { type Kysely, sql } from 'kysely'
import { countInstancesOf } from '../account/queries.ts'
import { isForeignKeyViolation, isUniqueViolation } from '../db/constraint.ts'
import { inTransaction } from '../db/transaction.ts'
import type { DB } from '../db/types.ts'
import { badUserInput, GatewayError, instanceNotFound } from '../errors.ts'
import { insertToken, revokeTokensOf } from '../token/actions.ts'
import { listTokenIdsOf } from '../token/queries.ts'
import { generateToken } from '../token/token.ts'
import type { Viewer } from '../viewer/viewer.ts'
import { NAME_RULE, parseName } from '../name.ts'
import { type Instance, instanceColumns, type InstanceRef, lockInstance } from './queries.ts'

/** A write inside the transaction that holds the instance's row. */
export type InstanceWrite<Result> = (transaction: Kysely<DB>, instanceId: string) => Promise<Result>

/**
 * Makes an instance and its TokenInstance, which is returned this once, and configures it: all or nothing.
 * @throws GatewayError BAD_USER_INPUT, INSTANCE_NAME_TAKEN, QUOTA_EXCEEDED
 */
export async function createInstance(
  db: Kysely<DB>,
  input: { accountId: string; name: string; token?: string | null | undefined },
  configure: InstanceWrite<void> = async () => {},
): Promise<{ instance: Instance; token: string }> {
  const name = parseName(input.name)
  if (name === null) throw badUserInput('input.name', `The instance name cannot be used; it has to be ${NAME_RULE}`)
  const id = randomUUID()
  const token = input.token ?? generateToken('instance')
  try {
    const instance = await inTransaction(db, async (transaction) => {
      await refuseOverQuota(transaction, input.accountId)
      const at = await nextCreationTime(transaction, input.accountId)
      const created = await transaction
        .insertInto('instances')
        .values({ id, account_id: input.accountId, name, created_at: at, updated_at: at })
        .returning(instanceColumns)
        .executeTakeFirstOrThrow()
      await insertToken(transaction, { kind: 'instance', instanceId: id, token })
      await configure(transaction, id)
      return created
    })
    return { instance, token }
  } catch (error) {
    if (isUniqueViolation(error, 'instances_account_id_name_key')) {
      throw new GatewayError(
        'INSTANCE_NAME_TAKEN',
        `The account has an instance named ${name} already. Choose another name`,
      )
    }
    if (isForeignKeyViolation(error, 'instances_account_id_fkey'))
      throw badUserInput('account', 'The account was deleted')
    throw error
  }
}

/** The account's row is locked, so that creations of one account count one after the other. */
async function refuseOverQuota(transaction: Kysely<DB>, accountId: string): Promise<void> {
  const account = await transaction
    .selectFrom('accounts')
    .select('instance_quota')
    .where('id', '=', accountId)
    .forUpdate()
    .executeTakeFirst()
  const quota = account?.instance_quota ?? null
  if (quota === null) return
  if ((await countInstancesOf(transaction, accountId)) >= quota) {
    throw new GatewayError(
      'QUOTA_EXCEEDED',
      `The quota of the account is used up (${quota}). Delete an instance, or ask the operator for more`,
    )
  }
}

/**
 * A time after that of every other instance of the account, whose row is locked: instances then appear in the order of
 * their times, and a walk over the pages that goes on meanwhile misses none.
 */
async function nextCreationTime(transaction: Kysely<DB>, accountId: string): Promise<Date> {
  const { at } = await transaction
    .selectFrom('instances')
    .select(sql<Date>`greatest(clock_timestamp(), max(created_at) + interval '1 ms')::timestamptz(3)`.as('at'))
    .where('account_id', '=', accountId)
    .executeTakeFirstOrThrow()
  return at
}

/**
 * Writes to an instance that the viewer sees, one writer at a time, and returns it as it is then.
 * @param isChange whether the result is a change that `updatedAt` tells
 * @throws GatewayError INSTANCE_NOT_FOUND
 */
export async function writeInstance<Result>(
  db: Kysely<DB>,
  viewer: Viewer,
  ref: InstanceRef,
  write: InstanceWrite<Result>,
  isChange: (result: Result) => boolean = () => true,
): Promise<{ instance: Instance; result: Result }> {
  return inTransaction(db, async (transaction) => {
    const locked = await lockInstance(transaction, viewer, ref)
    if (!locked) throw instanceNotFound()
    const result = await write(transaction, locked.id)
    if (!isChange(result)) return { instance: locked, result }
    const instance = await transaction
      .updateTable('instances')
      .set({ updated_at: sql`clock_timestamp()` })
      .where('id', '=', locked.id)
      .returning(instanceColumns)
      .executeTakeFirstOrThrow()
    return { instance, result }
  })
}

/** Replaces the TokenInstance: the old one fails on its next request. Its streams are for the caller to end. */
export async function rotateInstanceToken(
  db: Kysely<DB>,
  viewer: Viewer,
  ref: InstanceRef,
): Promise<{ instance: Instance; token: string; revokedIds: string[] }> {
  const token = generateToken('instance')
  const { instance, result: revokedIds } = await writeInstance(
    db,
    viewer,
    ref,
    async (transaction, instanceId) => {
      const revoked = await revokeTokensOf(transaction, { instanceId })
      await insertToken(transaction, { kind: 'instance', instanceId, token })
      return revoked
    },
    () => false,
  )
  return { instance, token, revokedIds }
}

/**
 * Deletes an instance with its tokens and integrations, for good, and returns it as it was, and the ids of its tokens.
 * @throws GatewayError INSTANCE_NOT_FOUND
 */
export async function deleteInstance(
  db: Kysely<DB>,
  viewer: Viewer,
  ref: InstanceRef,
): Promise<{ instance: Instance; tokenIds: string[] }> {
  return inTransaction(db, async (transaction) => {
    const locked = await lockInstance(transaction, viewer, ref)
    if (!locked) throw instanceNotFound()
    const tokenIds = await listTokenIdsOf(transaction, { instanceId: locked.id })
    await transaction.deleteFrom('instances').where('id', '=', locked.id).execute()
    return { instance: locked, tokenIds }
  })
}
