import { describe, expect, onTestFinished, test } from 'vitest'
import { hasOwnRedis, startOwnRedisForTest } from './own-redis.ts'
import { createTestDatabase, hasPostgres, startGatewayForTest, type TestGateway } from './testkit.ts'
import { until } from './whatsapp.ts'

type Line = { level: number; nodes: { id: string; address: string | null }[]; liveNodes: number }

const WARN = 40

/** Waits until a gateway has logged something. */
const logged = async ({ log }: TestGateway, message: RegExp): Promise<Line> =>
  (await until(
    () => log.find(({ msg }) => message.test(String(msg))),
    (line) => line !== undefined,
  )) as Line

/** One database, one Redis, and gateways on both or on the database alone. */
async function prepare() {
  const [redis, database] = await Promise.all([startOwnRedisForTest(), createTestDatabase()])
  onTestFinished(database.drop)
  const alone = { databaseUrl: database.url }
  const together = { ...alone, redisUrl: redis.url, nodeAddress: { host: '127.0.0.1', port: 0 } }
  return { alone, together }
}

const WITHOUT_REDIS = /and this one has none/

describe.skipIf(!hasPostgres || !hasOwnRedis)('a gateway logs', { timeout: 30_000 }, () => {
  test('which other nodes are there, which come and which go, in a line each', async () => {
    const { together } = await prepare()
    const first = await startGatewayForTest(together)
    const second = await startGatewayForTest(together)
    expect(await logged(second, /live on this database/)).toMatchObject({ nodes: [first.node], liveNodes: 2 })
    expect(await logged(first, /live on this database/)).toMatchObject({ nodes: [second.node], liveNodes: 2 })
    await second.close()
    expect(await logged(first, /are gone/)).toMatchObject({ nodes: [second.node], liveNodes: 1 })
    expect(first.log.filter(({ nodes }) => nodes).length).toBeLessThanOrEqual(3)
    expect(first.log.filter(({ msg }) => WITHOUT_REDIS.test(String(msg)))).toEqual([])
  })

  test('that it needs REDIS_URL, when it starts among nodes that have one', async () => {
    const { alone, together } = await prepare()
    await startGatewayForTest(together)
    expect((await logged(await startGatewayForTest(alone), WITHOUT_REDIS)).level).toBe(WARN)
  })

  test('the same when the first of them comes after it, and nothing of that kind among others like it', async () => {
    const { alone, together } = await prepare()
    const gateway = await startGatewayForTest(alone)
    await startGatewayForTest(alone)
    await logged(gateway, /live on this database/)
    expect(gateway.log.filter(({ msg }) => WITHOUT_REDIS.test(String(msg)))).toEqual([])
    await startGatewayForTest(together)
    expect((await logged(gateway, WITHOUT_REDIS)).level).toBe(WARN)
  })
})
