import { rmSync } from 'node:fs'
import { Redis } from 'ioredis'
import { beforeEach, describe, expect, onTestFinished, test, vi } from 'vitest'
import type { Logger } from '../src/logger.ts'
import { createRateLimiter, type RateLimiter } from '../src/rate-limit.ts'
import { openSharedPlaces } from '../src/shared-places.ts'
import { startBreakableProxy } from './breakable-proxy.ts'
import { startGatewayProcessForTest } from './child.ts'
import { hasOwnRedis, type OwnRedis, startOwnRedisForTest } from './own-redis.ts'
import { seed } from './seed.ts'
import { silentLogger } from './silent-logger.ts'
import { createTempDir, createTestDatabase, hasPostgres, startGatewayForTest, TEST_KEY } from './testkit.ts'

const LIMIT = 100

describe.skipIf(!hasOwnRedis)('with Redis', () => {
  let redis: OwnRedis
  beforeEach(async () => {
    redis = await startOwnRedisForTest()
  })

  /** A connection past the gateway. */
  const connectDirectly = () => {
    const direct = new Redis(redis.url)
    onTestFinished(() => direct.disconnect())
    return direct
  }
  const openPlaces = async (options: { url?: string; liveNodes?: () => number; logger?: Logger } = {}) => {
    const places = await openSharedPlaces(options.url ?? redis.url, {
      liveNodes: () => 2,
      logger: silentLogger,
      ...options,
    })
    onTestFinished(() => places.close())
    return places
  }
  const openLimiter = async (options: Parameters<typeof openPlaces>[0] = {}, perMinute = LIMIT) =>
    createRateLimiter(perMinute, { shared: await openPlaces(options) })

  const proxied = async () => {
    const proxy = await startBreakableProxy(redis.url)
    onTestFinished(proxy.close)
    return proxy
  }
  const grantedOf = async (limiter: RateLimiter, count: number, key = 'key') => {
    const charges = await Promise.all(Array.from({ length: count }, () => limiter.charge(key, 1)))
    return charges.filter(({ granted }) => granted).length
  }
  const recover = (limiter: RateLimiter) =>
    vi.waitFor(() => expect(limiter.mode()).toBe('shared'), { timeout: 10_000, interval: 20 })

  describe('the places of all nodes', () => {
    test('are exactly 100 for 500 requests at once through two nodes', async () => {
      const nodes = [await openLimiter(), await openLimiter()]
      const granted = await Promise.all(nodes.map((node) => grantedOf(node, 250)))
      expect(granted.reduce((sum, count) => sum + count)).toBe(LIMIT)
    })

    test('are exactly 100 for 500 requests at once through two gateways, REST and GraphQL', async () => {
      const first = await startGatewayForTest({ rateLimitPerMinute: LIMIT, redisUrl: redis.url })
      const second = await startGatewayForTest({
        rateLimitPerMinute: LIMIT,
        redisUrl: redis.url,
        databaseUrl: first.services.config.databaseUrl,
      })
      const { token } = await seed(first.services.db).account('shop')
      const statuses = await Promise.all(
        Array.from({ length: 500 }, async (_, index) => {
          const gateway = index % 4 < 2 ? first : second
          if (index % 2) return (await gateway.get('/api/instance/list', token)).status
          return (await gateway.post('{ instances { name } }', token)).status
        }),
      )
      expect(statuses.filter((status) => status === 200)).toHaveLength(LIMIT)
      expect(statuses.filter((status) => status === 429)).toHaveLength(400)
    })

    test.skipIf(!hasPostgres)('are shared by built gateways, too, which tell so', async () => {
      const database = await createTestDatabase()
      onTestFinished(database.drop)
      const DATA_DIR = createTempDir()
      onTestFinished(() => rmSync(DATA_DIR, { recursive: true, force: true }))
      const BOOTSTRAP_TOKEN = 'a-token-of-this-test-of-more-than-32-characters'
      const gateway = await startGatewayProcessForTest({
        DATA_DIR,
        DATABASE_URL: database.url,
        ENCRYPTION_KEY: TEST_KEY,
        REDIS_URL: redis.url,
        METRICS_PORT: '0',
        BOOTSTRAP_TOKEN,
        LOG_FORMAT: 'json',
      })
      expect((await gateway.list(BOOTSTRAP_TOKEN)).status).toBe(200)
      expect(await connectDirectly().keys('switchboard:limit:requests:*')).toHaveLength(1)
      const [, metricsUrl = ''] = await gateway.prints(/"metricsUrl":"([^"]+)"/)
      expect(await (await fetch(metricsUrl)).text()).toContain('switchboard_rate_limit_mode{mode="shared"} 1\n')
      expect((await gateway.stop()).code).toBe(0)
    })

    test('are taken all at once or not at all, and a refusal costs nothing', async () => {
      const places = await openPlaces()
      const reserve = (count: number) => places.reserve('key', count, 3, 60_000)
      expect(await reserve(2)).toMatchObject({ granted: true, remaining: 1, retryAfterMs: 0 })
      for (const count of [2, 3, 4]) expect(await reserve(count)).toMatchObject({ granted: false, remaining: 1 })
      expect(await reserve(1)).toMatchObject({ granted: true, remaining: 0 })
      expect(await reserve(1)).toMatchObject({ granted: false, remaining: 0 })
    })

    test('are of one bucket for each purpose and each key', async () => {
      const limiter = await openLimiter({}, 1)
      const charges = [
        await limiter.charge('a', 1),
        await limiter.charge('b', 1),
        await limiter.chargeCreation('a'),
        await limiter.chargeAnonymous('a', 1),
        await limiter.chargeFailure('a'),
        await limiter.charge('a', 1),
      ]
      expect(charges.map(({ granted }) => granted)).toEqual([true, true, true, true, true, false])
      expect(charges.map(({ budget }) => budget.limit)).toEqual([1, 1, 20, 600, 60, 1])
    })

    test('come free one by one as the window slides, and never twice', async () => {
      const [one, two] = [await openPlaces(), await openPlaces()]
      const WINDOW_MS = 1_000
      const grants: number[] = []
      const startedAt = performance.now()
      for (let turn = 0; performance.now() - startedAt < 3 * WINDOW_MS; turn++) {
        const reservation = await (turn % 2 ? one : two).reserve('key', 1, 10, WINDOW_MS)
        if (reservation?.granted) grants.push(reservation.at ?? 0)
      }
      expect(grants.length).toBeGreaterThanOrEqual(30)
      // In any window there are ten: whatever follows ten places later is a whole window later.
      for (const [index, at] of grants.entries()) {
        if (index >= 10) expect(at - (grants[index - 10] ?? 0)).toBeGreaterThanOrEqual(WINDOW_MS)
      }
    })

    test('tell when they come free, as the log of one node does', async () => {
      const places = await openPlaces()
      const reserve = (count: number) => places.reserve('key', count, 3, 1_000)
      expect(await reserve(1)).toMatchObject({ nextFreeMs: 1_000 })
      await new Promise((resolve) => setTimeout(resolve, 300))
      await reserve(2)
      const refused = await reserve(2)
      expect(refused?.nextFreeMs).toBeLessThanOrEqual(700)
      expect(refused?.nextFreeMs).toBeGreaterThan(400)
      expect(refused?.retryAfterMs).toBeGreaterThan(900)
      expect(refused?.retryAfterMs).toBeLessThanOrEqual(1_000)
      expect(await reserve(4)).toMatchObject({ granted: false, retryAfterMs: 1_000 })
    })

    test('leave nothing behind in Redis: a log ends with its window, and is short whatever the limit', async () => {
      const places = await openPlaces()
      await Promise.all(Array.from({ length: 2_000 }, () => places.reserve('key', 20, 1_000_000, 300)))
      const direct = connectDirectly()
      const length = await direct.llen('switchboard:limit:key')
      expect(length).toBeGreaterThan(1)
      expect(length).toBeLessThan(600)
      await vi.waitFor(async () => expect(await direct.dbsize()).toBe(0), { timeout: 5_000 })
    })

    test('are counted by the clock of Redis: a node whose clock is an hour off makes no difference', async () => {
      const right = await openLimiter()
      const before = await right.charge('key', 60)
      vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + 3_600_000 })
      onTestFinished(() => void vi.useRealTimers())
      const wrong = await openLimiter()
      expect(await wrong.charge('key', 41)).toMatchObject({ granted: false, budget: { remaining: 40 } })
      const after = await wrong.charge('key', 40)
      expect(after).toMatchObject({ granted: true, budget: { remaining: 0, resetAt: before.budget.resetAt } })
    })
  })

  describe('when Redis', () => {
    test('was flushed or restarted, the nodes go on together', async () => {
      const limiter = await openLimiter()
      expect(await grantedOf(limiter, 150)).toBe(LIMIT)
      await redis.flush()
      await connectDirectly().script('FLUSH')
      expect(await grantedOf(limiter, 150)).toBe(LIMIT)
      await redis.restart()
      await recover(limiter)
      expect(await grantedOf(limiter, 10)).toBe(0)
      expect(await grantedOf(limiter, 150, 'another')).toBe(LIMIT)
    })

    test('is gone, each node grants its share of the living, one at least, and says so once', async () => {
      const lines: string[] = []
      const logger = {
        ...silentLogger,
        warn: (_: unknown, line: string) => lines.push(line),
        info: (line: string) => lines.push(line),
      }
      let liveNodes = 4
      const limiter = await openLimiter({ liveNodes: () => liveNodes, logger: logger as unknown as Logger })
      expect(limiter.mode()).toBe('shared')
      await redis.stop()
      expect(await grantedOf(limiter, 100)).toBe(25)
      expect(limiter.mode()).toBe('share')
      liveNodes = 1_000
      expect(await grantedOf(limiter, 5, 'another')).toBe(1)
      expect((await limiter.charge('key', 1)).budget.remaining).toBe(0)
      await redis.start()
      await recover(limiter)
      expect(await grantedOf(limiter, 150)).toBe(LIMIT)
      expect(lines).toEqual([
        expect.stringContaining('Redis does not answer'),
        expect.stringContaining('Redis answers again'),
      ])
    })

    test('hangs, one request waits a quarter of a second and the others not at all', async () => {
      const proxy = await proxied()
      const limiter = await openLimiter({ url: proxy.url })
      proxy.hang()
      const timed = async () => {
        const startedAt = performance.now()
        await limiter.charge('key', 1)
        return performance.now() - startedAt
      }
      expect(await timed()).toBeLessThan(350)
      expect(limiter.mode()).toBe('share')
      expect(await timed()).toBeLessThan(50)
      await proxy.restore()
      await recover(limiter)
    })

    test('hangs for good on a connection, another one is made', async () => {
      const proxy = await proxied()
      const limiter = await openLimiter({ url: proxy.url })
      proxy.hang()
      await limiter.charge('key', 1)
      expect(limiter.mode()).toBe('share')
      proxy.restoreForNewConnections()
      await recover(limiter)
    })

    test('is cut off without a request being under way, the node knows it before the next one', async () => {
      const proxy = await proxied()
      const limiter = await openLimiter({ url: proxy.url })
      await proxy.cut()
      await vi.waitFor(() => expect(limiter.mode()).toBe('share'))
      await proxy.restore()
      await recover(limiter)
    })

    test.each([
      [
        'is full',
        (direct: Redis) => direct.config('SET', 'maxmemory', '1'),
        (direct: Redis) => direct.config('SET', 'maxmemory', '0'),
      ],
      [
        'only reads',
        (direct: Redis) => direct.replicaof('127.0.0.1', 1),
        (direct: Redis) => direct.replicaof('NO', 'ONE'),
      ],
    ])('%s, the node counts by itself until it can write there', async (_what, spoil, mend) => {
      const limiter = await openLimiter()
      const direct = connectDirectly()
      await spoil(direct)
      expect(await grantedOf(limiter, 100)).toBe(50)
      // Longer than it takes to ask whether it is back.
      await new Promise((resolve) => setTimeout(resolve, 1_200))
      expect(limiter.mode()).toBe('share')
      await mend(direct)
      await recover(limiter)
      expect(await grantedOf(limiter, 150)).toBe(LIMIT)
    })

    test('is away at the start, the gateway starts, answers reads, and opens no pairing', async () => {
      await redis.stop()
      const gateway = await startGatewayForTest({ rateLimitPerMinute: LIMIT, redisUrl: redis.url })
      const shop = await seed(gateway.services.db).account('shop')
      const sales = await shop.instance('sales')
      expect((await gateway.get('/api/instance/list', shop.token)).status).toBe(200)
      const connect = 'mutation { connectInstance(input: { instance: { name: "sales" } }) { instance { name } } }'
      for (const token of [shop.token, sales.token]) {
        const { errors } = await gateway.post(connect, token)
        expect(errors).toMatchObject([
          {
            message: expect.stringMatching(/New pairings are closed .* Try again/),
            extensions: { code: 'SERVICE_UNAVAILABLE', retryAfter: 5 },
          },
        ])
      }
      await redis.start()
      await recover(gateway.services.limiter)
      expect((await gateway.get('/api/instance/list', shop.token)).headers.get('x-ratelimit-remaining')).toBe('99')
    })
  })
})
