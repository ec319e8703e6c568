import { randomUUID } from 'node:crypto'
import type { Kysely } from 'kysely'
import { countInstancesOf } from '../account/queries.ts'
import { isForeignKeyViolation, isUniqueViolation } from '../db/constraint.ts'
import type { DB } from '../db/types.ts'
import { badUserInput, GatewayError } from '../errors.ts'
import { insertToken } from '../token/actions.ts'
import { generateToken } from '../token/token.ts'
import { NAME_RULE, parseInstanceName } from './name.ts'

export type CreatedInstance = { id: string; name: string; token: string }

/**
 * Makes an instance and its TokenInstance, which is returned this once.
 * @throws GatewayError BAD_USER_INPUT, INSTANCE_NAME_TAKEN, QUOTA_EXCEEDED
 */
export async function createInstance(
  db: Kysely<DB>,
  input: { accountId: string; name: string; token?: string | undefined },
): Promise<CreatedInstance> {
  const name = parseInstanceName(input.name)
  if (name === null) throw badUserInput('name', `The instance name cannot be used; it has to be ${NAME_RULE}`)
  const id = randomUUID()
  const token = input.token ?? generateToken('instance')
  try {
    await db.transaction().execute(async (transaction) => {
      await refuseOverQuota(transaction, input.accountId)
      await transaction.insertInto('instances').values({ id, account_id: input.accountId, name }).execute()
      await insertToken(transaction, { kind: 'instance', instanceId: id, token })
    })
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
  return { id, name, token }
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
  const [counted] = await countInstancesOf(transaction, [accountId])
  if ((counted?.count ?? 0) >= quota) {
    throw new GatewayError(
      'QUOTA_EXCEEDED',
      `The account may have ${quota} instances and has them. Delete one, or ask the operator for more`,
    )
  }
}

/**
 * Deletes an instance with its tokens and integrations, for good.
 * @throws GatewayError INSTANCE_NOT_FOUND
 */
export async function deleteInstance(
  db: Kysely<DB>,
  input: { accountId: string; name: string },
): Promise<{ id: string; name: string }> {
  const deleted = await db
    .deleteFrom('instances')
    .where('account_id', '=', input.accountId)
    .where('name', '=', input.name)
    .returning(['id', 'name'])
    .executeTakeFirst()
  if (!deleted) {
    throw new GatewayError(
      'INSTANCE_NOT_FOUND',
      `The account has no instance named ${input.name}. "instance list" shows those that exist`,
    )
  }
  return deleted
}
