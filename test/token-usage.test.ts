import { describe, expect, test } from 'vitest'
import { listTokens } from '../src/token/queries.ts'
import { trackTokenUsage } from '../src/token/usage.ts'
import { seed } from './seed.ts'
import { silentLogger } from './silent-logger.ts'
import { startGatewayForTest } from './testkit.ts'

describe('the last use of a token', () => {
  test('costs no statement in the request, and is written for all tokens at once', async () => {
    const gateway = await startGatewayForTest()
    const { db } = gateway.services
    const shop = await seed(db).account('shop')
    const sales = await shop.instance('sales')
    const unused = await shop.instance('unused')
    const usage = trackTokenUsage(db, silentLogger)
    const tokens = async () =>
      Object.fromEntries((await listTokens(db, shop.id)).map((token) => [token.instance ?? 'account', token]))
    const before = await tokens()
    expect(Object.values(before).map(({ lastUsedAt }) => lastUsedAt)).toEqual([null, null, null])

    gateway.statements.length = 0
    await gateway.get('/api/instance/list', sales.token)
    expect(gateway.statements.filter((sql) => /^\s*(update|insert)/.test(sql))).toEqual([])

    for (let times = 0; times < 100; times++) usage.note(before.sales?.id ?? '')
    usage.note(before.account?.id ?? '')
    gateway.statements.length = 0
    await usage.close()
    expect(gateway.statements).toHaveLength(1)
    const after = await tokens()
    expect(after.sales?.lastUsedAt?.getTime()).toBeGreaterThan(Date.now() - 10_000)
    expect(after.account?.lastUsedAt).not.toBeNull()
    expect(after[unused.name]?.lastUsedAt).toBeNull()
  })

  test('is not lost when it could not be written', async () => {
    const { services } = await startGatewayForTest()
    const shop = await seed(services.db).account('shop')
    const [{ id = '' } = {}] = await listTokens(services.db, shop.id)
    let isAway = true
    const sometimes = services.db.withPlugin({
      transformQuery: ({ node }) => {
        if (isAway) throw new Error('the database is away')
        return node
      },
      transformResult: async ({ result }) => result,
    })
    const usage = trackTokenUsage(sometimes, silentLogger)
    usage.note(id)
    await usage.close()
    isAway = false
    await usage.close()
    expect((await listTokens(services.db, shop.id))[0]?.lastUsedAt).not.toBeNull()
  })

  test('is not lost when the gateway stops', async () => {
    const gateway = await startGatewayForTest({ databaseUrl: null })
    const { db, tokenUsage } = gateway.services
    const shop = await seed(db).account('shop')
    await gateway.get('/api/instance/list', shop.token)
    await tokenUsage.close()
    expect((await listTokens(db, shop.id))[0]?.lastUsedAt).not.toBeNull()
  })
})
