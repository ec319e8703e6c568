import { randomUUID } from 'node:crypto'
import type { Kysely } from 'kysely'
import { type CreatedAccount, createAccount } from './account/actions.ts'
import { inTransaction } from './db/transaction.ts'
import type { DB } from './db/types.ts'
import { createInstance } from './instance/actions.ts'

export const DEMO_ACCOUNT = 'demo'

/**
 * The demo account: four sample instances whose integrations differ. Nothing in it is connected to anything: the
 * numbers and addresses are reserved for examples.
 */
export const createDemo = (db: Kysely<DB>): Promise<CreatedAccount> => inTransaction(db, fillDemo)

async function fillDemo(db: Kysely<DB>): Promise<CreatedAccount> {
  const account = await createAccount(db, { name: DEMO_ACCOUNT })
  const create = async (name: string) => (await createInstance(db, { accountId: account.id, name })).instance.id

  const sales = await create('sales')
  await db
    .updateTable('instances')
    .set({
      number_jid: '5511999999999@s.whatsapp.net',
      paired_at: new Date(),
      profile_name: 'Sales',
      is_business: true,
      business_name: 'Example Trading Ltd',
    })
    .where('id', '=', sales)
    .execute()
  await db
    .insertInto('webhooks')
    .values({
      id: randomUUID(),
      instance_id: sales,
      label: 'default',
      enabled: true,
      url: 'https://crm.example.com/hooks/whatsapp',
      events: ['message.exchange', 'message.status'],
    })
    .execute()
  await db
    .insertInto('chatwoots')
    .values({
      instance_id: sales,
      enabled: true,
      status: 'active',
      bridge_integration_id: 'sample-1',
      base_url: 'https://chat.example.com',
      account_id: 1,
      inbox_name: 'Sales',
    })
    .execute()

  const support = await create('support')
  await db
    .updateTable('instances')
    .set({
      number_jid: '5511888888888@s.whatsapp.net',
      paired_at: new Date(),
      logged_out_at: new Date(),
      profile_name: 'Support',
    })
    .where('id', '=', support)
    .execute()
  await db.insertInto('websockets').values({ instance_id: support, enabled: true, media_base64: true }).execute()
  await db
    .insertInto('settings')
    .values({
      instance_id: support,
      auto_reject_calls: true,
      call_reject_message: 'Please write to us.',
      auto_read_messages: true,
    })
    .execute()

  const marketing = await create('marketing')
  await db
    .insertInto('proxies')
    .values({
      instance_id: marketing,
      enabled: true,
      host: 'proxy.example.com',
      port: 1080,
      protocol: 'socks5',
      username: 'marketing',
    })
    .execute()
  await db
    .insertInto('s3s')
    .values({
      instance_id: marketing,
      enabled: true,
      region: 'eu-central-1',
      bucket: 'marketing-media',
      path_prefix: 'whatsapp/',
    })
    .execute()

  await create('new-number')
  return account
}
