import type { Kysely } from 'kysely'
import { createAccount } from './account/actions.ts'
import { listAccounts } from './account/queries.ts'
import type { Config } from './config.ts'
import type { DB } from './db/types.ts'
import { createDemo, DEMO_ACCOUNT } from './demo.ts'
import { GatewayError } from './errors.ts'

/** What a first start has made, or what there is to tell instead. */
export type FirstContact =
  | { kind: 'demo made'; token: string }
  | { kind: 'demo exists' }
  | { kind: 'no account' }
  | { kind: 'in use' }

/** Fills a database without accounts as the configuration asks. */
export async function bootstrap(db: Kysely<DB>, { bootstrapToken, demo }: Config): Promise<FirstContact> {
  const accounts = await listAccounts(db)
  if (accounts.length > 0) {
    return { kind: accounts.some(({ name }) => name === DEMO_ACCOUNT) ? 'demo exists' : 'in use' }
  }
  if (bootstrapToken) await unlessMadeByAnotherNode(createAccount(db, { name: 'default', token: bootstrapToken }))
  if (demo) {
    const made = await unlessMadeByAnotherNode(createDemo(db))
    return made ? { kind: 'demo made', token: made.token } : { kind: 'demo exists' }
  }
  return { kind: bootstrapToken ? 'in use' : 'no account' }
}

/** Two nodes may find the same empty database. */
async function unlessMadeByAnotherNode<Made>(making: Promise<Made>): Promise<Made | null> {
  try {
    return await making
  } catch (error) {
    if (error instanceof GatewayError && error.code === 'CONFLICT') return null
    throw error
  }
}
