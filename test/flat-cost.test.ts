import { Session } from 'node:inspector/promises'
import { createHash } from 'node:crypto'
import { sql } from 'kysely'
import { afterAll, describe, expect, onTestFinished, test } from 'vitest'

// Begun before any code of the gateway is loaded: what was compiled before counts nothing.
const profiler = new Session()
profiler.connect()
await profiler.post('Profiler.enable')
await profiler.post('Profiler.startPreciseCoverage', { callCount: true, detailed: true })
const { listInstances } = await import('../src/instance/queries.ts')
const { seed } = await import('./seed.ts')
const { hasPostgres, startGatewayForTest } = await import('./testkit.ts')
afterAll(() => profiler.disconnect())

const REQUESTS = 20
/** What runs beside the requests: beats, looks at tokens. */
const TOLERANCE = 1.1

const FEW = 10
const MANY = 10_000

/** Counts how often each block of the gateway's own code is entered while something is done. */
async function countSteps(work: () => Promise<void>): Promise<number> {
  await profiler.post('Profiler.takePreciseCoverage')
  await work()
  const { result } = await profiler.post('Profiler.takePreciseCoverage')
  return result
    .filter(({ url }) => url.includes('/src/'))
    .flatMap(({ functions }) => functions.flatMap(({ ranges }) => ranges.map(({ count }) => count)))
    .reduce((sum, count) => sum + count, 0)
}

/** A gateway beside whose caller so many others have an account, a token, an instance and a follower each. */
async function enter(others: number) {
  const gateway = await startGatewayForTest({ rateLimitPerMinute: 1_000_000 })
  const { db, connectionLogs, sessions } = gateway.services
  const shop = await seed(db).account('shop')
  await shop.instances(10)
  await sql`insert into accounts (id, name) select gen_random_uuid(), 'other ' || n from generate_series(1, ${others}::int) as n`.execute(
    db,
  )
  await sql`insert into instances (id, account_id, name) select gen_random_uuid(), id, 'sales' from accounts where id <> ${shop.id}`.execute(
    db,
  )
  const accounts = await db.selectFrom('accounts').select('id').where('id', '<>', shop.id).execute()
  const tokens = accounts.map(({ id }) => `the-token-of-the-account-${id}`)
  await sql`insert into tokens (id, kind, account_id, digest) select gen_random_uuid(), 'account', t.account_id, t.digest from unnest(
    ${accounts.map(({ id }) => id)}::uuid[], ${tokens.map((token) => createHash('sha256').update(token).digest())}::bytea[]
  ) as t(account_id, digest)`.execute(db)
  await sql`analyze`.execute(db)
  // Each of the others has asked, and follows what it has.
  for (const { id } of accounts) {
    const reader = connectionLogs.read({ kind: 'account', accountId: id }, 'all')
    onTestFinished(() => reader.close())
  }
  for (const token of tokens.slice(0, 500)) await gateway.services.lookUpToken(token)
  const [instance] = await listInstances(db, { kind: 'account', accountId: shop.id })
  if (!instance) throw new Error('The account has no instance')
  const reader = connectionLogs.read({ kind: 'account', accountId: shop.id }, 'all')
  onTestFinished(() => reader.close())
  const tick = () => sessions.connectionTicks.publish(shop.id, { kind: 'changed', instance })
  return { gateway, shop, tick }
}

const ask = async (gateway: Awaited<ReturnType<typeof enter>>['gateway'], token: string, query: string) => {
  const { errors } = await gateway.post(query, token)
  expect(errors).toBeUndefined()
}

describe.skipIf(!hasPostgres)('a request costs the same beside 10 and beside 10,000 others', () => {
  test('in statements and in steps of the program', async () => {
    const works: Record<string, (place: Awaited<ReturnType<typeof enter>>) => Promise<void>> = {
      'the REST list': async ({ gateway, shop }) =>
        expect((await gateway.get('/api/instance/list', shop.token)).status).toBe(200),
      'a narrow query': ({ gateway, shop }) => ask(gateway, shop.token, '{ instances { name connection { state } } }'),
      'a query of the general road': ({ gateway, shop }) =>
        ask(gateway, shop.token, '{ viewer { account { instanceCount } } instances { name webhook { url } } }'),
      'a page': ({ gateway, shop }) => ask(gateway, shop.token, '{ instancesConnection(first: 5) { nodes { name } } }'),
      'a wrong token': async ({ gateway }) =>
        expect((await gateway.get('/api/instance/list', 'a wrong token')).status).toBe(401),
      'a change of a connection': async ({ tick }) => void tick(),
    }
    const measure = async (others: number) => {
      const place = await enter(others)
      const measured: Record<string, { statements: number; steps: number }> = {}
      for (const [name, work] of Object.entries(works)) {
        for (let warming = 0; warming < 3; warming++) await work(place)
        place.gateway.statements.length = 0
        const steps = await countSteps(async () => {
          for (let request = 0; request < REQUESTS; request++) await work(place)
        })
        measured[name] = { statements: place.gateway.statements.length, steps }
      }
      return measured
    }
    const few = await measure(FEW)
    const many = await measure(MANY)
    for (const name of Object.keys(works)) {
      const [beside10, beside10000] = [few[name], many[name]]
      process.stdout.write(
        `${name}: ${beside10?.steps} steps beside ${FEW} others, ${beside10000?.steps} beside ${MANY}\n`,
      )
      expect(beside10?.steps).toBeGreaterThanOrEqual(REQUESTS)
      expect(beside10000?.steps).toBeLessThan(TOLERANCE * (beside10?.steps ?? 0))
      expect(beside10000?.statements).toBeLessThanOrEqual((beside10?.statements ?? 0) + 2)
    }
  }, 120_000)
})
