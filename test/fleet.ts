import type { Kysely } from 'kysely'
import { openDatabase } from '../src/db/database.ts'
import { migrateToLatest } from '../src/db/migrate.ts'
import type { DB } from '../src/db/types.ts'
import { Sealer } from '../src/sealing/sealer.ts'
import { AuthState } from '../src/session/auth-state.ts'
import { seed } from './seed.ts'
import { silentLogger } from './silent-logger.ts'
import { createLinkedCreds } from './stock-socket.ts'
import { TEST_KEY } from './testkit.ts'

export const testSealer = new Sealer(Buffer.from(TEST_KEY, 'base64'), null)

const FIRST_NUMBER = 15_560_000_000

/** An account whose instances are paired already, for a fake that accepts unknown devices. */
export type Fleet = { token: string; ids: string[]; numbers: string[] }

/** Fills a database before a gateway is started on it. */
export async function seedFleet(databaseUrl: string, count: number): Promise<Fleet> {
  return inDatabase(databaseUrl, async (db) => {
    await migrateToLatest(db)
    const shop = await seed(db).account('shop')
    const rows = await shop.instances(count)
    const numbers = rows.map((_, index) => String(FIRST_NUMBER + index))
    for (const [index, { id }] of rows.entries()) {
      const number = numbers[index] ?? ''
      const auth = new AuthState(
        { db, sealer: testSealer, logger: silentLogger, epoch: 0 },
        id,
        createLinkedCreds(number),
      )
      auth.noteChange()
      await auth.close(5_000)
      await db
        .updateTable('instances')
        .set({ desired_state: 'connected', paired_at: new Date(), number_jid: `${number}@s.whatsapp.net` })
        .where('id', '=', id)
        .execute()
    }
    return { token: shop.token, ids: rows.map(({ id }) => id), numbers }
  })
}

/** The credentials of an instance as a start would read them. */
export const credsIn = (databaseUrl: string, id: string) =>
  inDatabase(databaseUrl, async (db) => {
    const auth = await AuthState.load({ db, sealer: testSealer, logger: silentLogger, epoch: 0 }, id)
    return auth?.creds
  })

export async function inDatabase<Result>(
  databaseUrl: string,
  work: (db: Kysely<DB>) => Promise<Result>,
): Promise<Result> {
  const { db, close } = await openDatabase({ databaseUrl, dataDir: '', logger: silentLogger })
  try {
    return await work(db)
  } finally {
    await close()
  }
}

/** What GraphQL says of the connections of an account, by the number. */
export async function statesIn(url: string, token: string): Promise<Map<string, string>> {
  const { data, errors } = await ask(url, token, '{ instances { connection { state numberJid } } }')
  if (errors) throw new Error(JSON.stringify(errors))
  return new Map(
    data.instances.map(({ connection }: { connection: { state: string; numberJid: string | null } }) => [
      connection.numberJid?.replace(/@.*/, ''),
      connection.state,
    ]),
  )
}

export const connectedIn = async (url: string, token: string): Promise<string[]> =>
  [...(await statesIn(url, token))].filter(([, state]) => state === 'CONNECTED').map(([number]) => number)

export async function ask(url: string, token: string, query: string): Promise<{ data?: any; errors?: unknown }> {
  const response = await fetch(`${url}/graphql`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', token },
    body: JSON.stringify({ query }),
    signal: AbortSignal.timeout(20_000),
  })
  return (await response.json()) as { data?: any; errors?: unknown }
}
