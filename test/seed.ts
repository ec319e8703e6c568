import { randomUUID } from 'node:crypto'
import type { Insertable, Kysely, Updateable } from 'kysely'
import { createAccount } from '../src/account/actions.ts'
import type { DB } from '../src/db/types.ts'
import { createInstance } from '../src/instance/actions.ts'

type Row<Table extends keyof DB> = Omit<Insertable<DB[Table]>, 'id' | 'instance_id' | 'enabled'> & { enabled?: boolean }

/** Rows as sentences: `const shop = await seed(db).account('shop')`, `const sales = await shop.instance('sales')`. */
export const seed = (db: Kysely<DB>) => ({
  account: async (name: string, quota?: number) => {
    const account = await createAccount(db, { name, quota })
    return {
      ...account,
      instance: async (instanceName: string) => seedInstance(db, account.id, instanceName),
      /** Many at once, straight into the table. */
      instances: async (count: number) => {
        const rows = Array.from({ length: count }, (_, index) => ({
          id: randomUUID(),
          account_id: account.id,
          name: `number-${String(index).padStart(5, '0')}`,
        }))
        await db.insertInto('instances').values(rows).execute()
        return rows
      },
    }
  },
})

export type SeededAccount = Awaited<ReturnType<ReturnType<typeof seed>['account']>>
export type SeededInstance = Awaited<ReturnType<SeededAccount['instance']>>

async function seedInstance(db: Kysely<DB>, accountId: string, name: string) {
  const created = await createInstance(db, { accountId, name })
  const instance = { ...created.instance, token: created.token }
  const of = { instance_id: instance.id, enabled: true }
  return {
    ...instance,
    facts: (facts: Updateable<DB['instances']>) =>
      db.updateTable('instances').set(facts).where('id', '=', instance.id).execute(),
    webhook: (row: Partial<Row<'webhooks'>> = {}) =>
      db
        .insertInto('webhooks')
        .values({ id: randomUUID(), label: 'default', url: 'https://example.com/hook', ...of, ...row })
        .execute(),
    websocket: (row: Row<'websockets'> = {}) =>
      db
        .insertInto('websockets')
        .values({ ...of, ...row })
        .execute(),
    chatwoot: (row: Row<'chatwoots'> = {}) =>
      db
        .insertInto('chatwoots')
        .values({
          status: 'active',
          base_url: 'https://chat.example.com',
          account_id: 7,
          inbox_name: 'Shop',
          ...of,
          ...row,
        })
        .execute(),
    proxy: (row: Row<'proxies'> = {}) =>
      db
        .insertInto('proxies')
        .values({ host: 'proxy.example.com', port: 1080, protocol: 'socks5', ...of, ...row })
        .execute(),
    settings: (row: Omit<Insertable<DB['settings']>, 'instance_id'>) =>
      db
        .insertInto('settings')
        .values({ instance_id: instance.id, ...row })
        .execute(),
    s3: (row: Row<'s3s'> = {}) =>
      db
        .insertInto('s3s')
        .values({ region: 'eu-central-1', bucket: 'media', ...of, ...row })
        .execute(),
  }
}
