import { describe, expect, test } from 'vitest'
import { EverythingDocument } from './generated/graphql.ts'
import { seed } from './seed.ts'
import { hasPostgres, startGatewayForTest } from './testkit.ts'

/** Runs on the embedded database also where the other tests have PostgreSQL. */
describe.each([
  { database: 'the embedded database', overrides: { databaseUrl: null }, isHere: true },
  { database: 'PostgreSQL', overrides: {}, isHere: hasPostgres },
])('on $database', ({ overrides, isHere }) => {
  test.skipIf(!isHere)('rows come back as the same JavaScript values', async () => {
    const gateway = await startGatewayForTest(overrides)
    const { db } = gateway.services
    const shop = await seed(db).account('shop', 5)
    const sales = await shop.instance('Ventas 🙂')
    const instant = new Date('2026-01-02T03:04:05.678Z')
    await sales.facts({ created_at: instant, updated_at: instant })
    await sales.webhook({ events: ['label.update', 'call.update'], authorization_sealed: Buffer.from([0, 255]) })
    await sales.proxy()
    await sales.s3({ access_key_sealed: Buffer.from('a'), secret_key_sealed: Buffer.from('b') })

    const { instances } = await gateway.graphql(EverythingDocument, { names: ['Ventas 🙂', 'nobody'] }, shop.token)
    expect(instances).toMatchObject([
      {
        name: 'Ventas 🙂',
        createdAt: '2026-01-02T03:04:05.678Z',
        updatedAt: '2026-01-02T03:04:05.678Z',
        webhook: { events: ['LABEL_UPDATE', 'CALL_UPDATE'], hasAuthorization: true },
        proxy: { port: 1080, protocol: 'SOCKS5', hasPassword: false },
        settings: { disableHistorySync: true },
        s3: { hasCredentials: true },
      },
    ])
    const { data } = await gateway.post('{ viewer { account { instanceCount instanceQuota } } }', shop.token)
    expect(data).toEqual({ viewer: { account: { instanceCount: 1, instanceQuota: 5 } } })

    const { sealed } = await db
      .selectFrom('webhooks')
      .select('authorization_sealed as sealed')
      .executeTakeFirstOrThrow()
    expect(sealed).toEqual(Buffer.from([0, 255]))
    await expect(shop.instance('Ventas 🙂')).rejects.toMatchObject({ code: 'INSTANCE_NAME_TAKEN' })
    await Promise.all(['a', 'b', 'c', 'd'].map((name) => shop.instance(name)))
    await expect(shop.instance('e')).rejects.toMatchObject({ code: 'QUOTA_EXCEEDED' })
  })
})
