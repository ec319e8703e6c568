import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest'
import type { Config } from '../src/config.ts'
import { startBreakableProxy } from './breakable-proxy.ts'
import { startGatewayProcess } from './child.ts'
import { removeDataDir } from './data-dir.ts'
import { seed } from './seed.ts'
import { createTempDir, createTestDatabase, hasPostgres, startTestGateway, TEST_KEY } from './testkit.ts'

/** A database behind a proxy that can take it away. */
async function createBreakableDatabase() {
  const database = await createTestDatabase()
  const proxy = await startBreakableProxy(database.url)
  const leave = async () => {
    await proxy.close()
    await database.drop()
  }
  return { proxy, leave }
}

/** A gateway on such a database, with one account that has one instance. */
async function enter(overrides: Partial<Config> = {}) {
  const { proxy, leave } = await createBreakableDatabase()
  const gateway = await startTestGateway({ databaseUrl: proxy.url, ...overrides })
  const shop = await seed(gateway.services.db).account('shop')
  await shop.instance('sales')

  const list = () => gateway.get('/api/instance/list', shop.token)
  const names = () => gateway.post('{ instances { name } }', shop.token)
  const health = async (what: 'live' | 'ready') => (await gateway.get(`/health/${what}`)).status
  return {
    proxy,
    gateway,
    token: shop.token,
    list,
    health,
    /** Takes the database away, and waits until that is noticed: until then, answers come from memory. */
    take: async (how: 'cut' | 'hang') => {
      await proxy[how]()
      await vi.waitFor(() => expect(gateway.services.readModel.isCurrent()).toBe(false), { timeout: 1_000 })
    },
    /** What REST and GraphQL answer. */
    ask: async () => {
      const [rest, graphql] = await Promise.all([list(), names()])
      return {
        rest: { status: rest.status, retryAfter: rest.headers.get('retry-after'), body: await rest.json() },
        graphql: {
          status: graphql.status,
          retryAfter: graphql.headers.get('retry-after'),
          body: { data: graphql.data, errors: graphql.errors },
        },
      }
    },
    /** What they answer once readiness is green again. */
    recover: async () => {
      await vi.waitFor(async () => expect(await health('ready')).toBe(200), { timeout: 5_000 })
      const [rest, { status, data }] = await Promise.all([list(), names()])
      return { rest: rest.status, graphql: status, data }
    },
    leave: async () => {
      await proxy.cut()
      await gateway.close()
      await leave()
    },
  }
}

const SECONDS = expect.stringMatching(/^[1-9]\d*$/)
const UNAVAILABLE = {
  rest: { status: 503, retryAfter: SECONDS, body: { success: false, error: { message: 'Service unavailable' } } },
  graphql: {
    status: 503,
    retryAfter: SECONDS,
    body: {
      data: undefined,
      errors: [
        { message: 'Service unavailable', extensions: { code: 'SERVICE_UNAVAILABLE', retryAfter: expect.any(Number) } },
      ],
    },
  },
}
const SERVED = { rest: 200, graphql: 200, data: { instances: [{ name: 'sales' }] } }

async function inTime<Result>(limitMs: number, asking: Promise<Result>): Promise<Result> {
  const startedAt = performance.now()
  const result = await asking
  expect(performance.now() - startedAt).toBeLessThan(limitMs)
  return result
}

describe.skipIf(!hasPostgres)('while PostgreSQL', () => {
  let place: Awaited<ReturnType<typeof enter>>
  beforeAll(async () => {
    place = await enter()
  })
  afterEach(() => place.proxy.restore())
  afterAll(() => place.leave())

  test('is there, everything is served', async () => {
    expect(await place.recover()).toEqual(SERVED)
  })

  test('refuses connections, a valid token is told to come back, and only readiness is red', async () => {
    const { proxy, take, ask, health, recover } = place
    await take('cut')
    expect(await inTime(2_000, ask())).toEqual(UNAVAILABLE)
    expect(await inTime(2_000, ask())).toEqual(UNAVAILABLE)
    expect(await inTime(3_000, health('ready'))).toBe(503)
    expect(await inTime(1_000, health('live'))).toBe(200)
    await proxy.restore()
    expect(await recover()).toEqual(SERVED)
  })

  test('refuses connections, an unknown token is not called invalid, and a missing one is', async () => {
    const { take, gateway, token } = place
    await take('cut')
    expect((await gateway.get('/api/instance/list', 'unknown-token')).status).toBe(503)
    expect((await gateway.get('/api/instance/list')).status).toBe(401)
    expect((await gateway.get('/api/instance/nobody', token)).status).toBe(404)
  })

  test('breaks connections in the middle of many requests, each is answered with 200 or 503', async () => {
    const { proxy, list, recover } = place
    const asking = Array.from({ length: 60 }, list)
    await asking[0]
    await proxy.cut()
    const statuses = (await inTime(5_000, Promise.all(asking))).map(({ status }) => status)
    expect(statuses.filter((status) => status !== 200 && status !== 503)).toEqual([])
    expect(statuses[0]).toBe(200)
    await proxy.restore()
    expect(await recover()).toEqual(SERVED)
  })

  test('is away, the log says so once for a request, without its token', async () => {
    const { take, gateway, list, token } = place
    await take('cut')
    gateway.log.length = 0
    await list()
    expect(gateway.log.filter(({ msg }) => msg === 'the database is not available')).toHaveLength(1)
    expect(JSON.stringify(gateway.log)).not.toContain(token)
  })
})

/** Each waits about ten seconds, so they do it together. */
describe.skipIf(!hasPostgres).concurrent('a database that does not answer', () => {
  test('is given up on after a while, by readiness at once, and is used again when it answers', async (context) => {
    const { proxy, take, ask, health, recover, leave } = await enter()
    context.onTestFinished(leave)
    await take('hang')
    const [answers, ready, live] = await Promise.all([
      inTime(12_500, ask()),
      inTime(3_000, health('ready')),
      inTime(1_000, health('live')),
    ])
    expect(answers).toEqual(UNAVAILABLE)
    expect({ ready, live }).toEqual({ ready: 503, live: 200 })
    await proxy.restore()
    expect(await recover()).toEqual(SERVED)
  })

  test('is forgotten with its silent connections, when new ones are answered', async (context) => {
    const { proxy, list, health, recover, leave } = await enter({ readCacheMb: 0 })
    context.onTestFinished(leave)
    const askOften = async () => (await Promise.all(Array.from({ length: 30 }, list))).map(({ status }) => status)
    // The pool has all the connections that it may have, so the gateway makes no new one by itself.
    expect(new Set(await askOften())).toEqual(new Set([200]))
    proxy.hang()
    const asking = askOften()
    expect(await health('live')).toBe(200)
    proxy.restoreForNewConnections()
    expect(new Set(await asking)).toEqual(new Set([503]))
    expect(await inTime(5_000, recover())).toEqual(SERVED)
  })

  const TOKEN = 'a-token-that-an-operator-has-chosen'
  const startProcess = async () => {
    const { proxy, leave: leaveDatabase } = await createBreakableDatabase()
    const DATA_DIR = createTempDir()
    const environment = {
      DATABASE_URL: proxy.url,
      ENCRYPTION_KEY: TEST_KEY,
      BOOTSTRAP_TOKEN: TOKEN,
      READ_CACHE_MB: '0',
    }
    const gateway = await startGatewayProcess({ DATA_DIR, ...environment })
    const leave = async () => {
      await gateway.kill()
      await leaveDatabase()
      removeDataDir(DATA_DIR)
    }
    expect((await gateway.list(TOKEN)).status).toBe(200)
    return { proxy, gateway, leave }
  }

  test('may break its connections while they are in use, and the process survives', async (context) => {
    const { proxy, gateway, leave } = await startProcess()
    context.onTestFinished(leave)
    proxy.hang()
    const asking = Array.from({ length: 20 }, () => gateway.list(TOKEN).then(({ status }) => status))
    expect((await fetch(`${gateway.url}/health/live`)).status).toBe(200)
    await proxy.cut()
    expect(new Set(await Promise.all(asking))).toEqual(new Set([503]))
    await proxy.restore()
    expect((await gateway.list(TOKEN)).status).toBe(200)
    expect(await gateway.stop()).toMatchObject({ code: 0 })
  })

  test('may break its idle connections, and the log shows nothing of the database but that', async (context) => {
    const { proxy, gateway, leave } = await startProcess()
    context.onTestFinished(leave)
    await proxy.cut()
    const [line] = await gateway.prints(/.*an idle database connection broke.*/)
    expect(Object.keys(JSON.parse(line).err)).not.toContain('client')
    expect(gateway.stderr()).not.toMatch(/secretKey|processID/)
  })

  test('does not keep the process from ending in time', async (context) => {
    const { proxy, gateway, leave } = await startProcess()
    context.onTestFinished(leave)
    proxy.hang()
    const asking = gateway.list(TOKEN).then(
      ({ status }) => status,
      () => 'cut off',
    )
    expect((await fetch(`${gateway.url}/health/live`)).status).toBe(200)
    const { code, ms } = await gateway.stop()
    expect(code).toBe(0)
    expect(ms).toBeLessThan(10_000)
    expect([503, 'cut off']).toContain(await asking)
  })
})
