import { rmSync } from 'node:fs'
import { setTimeout } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { startBreakableProxy } from './breakable-proxy.ts'
import { type Environment, type GatewayProcess, startGatewayProcessForTest } from './child.ts'
import { copyDataDirForTest, createDataDirTemplate, removeDataDir } from './data-dir.ts'
import { type FakeProcess, startFakeProcessForTest } from './fake-process.ts'
import type { Stats } from './fake-whatsapp/server.ts'
import { ask, connectedIn, credsIn, inDatabase, seedFleet, statesIn } from './fleet.ts'
import { PairingDocument } from './generated/graphql.ts'
import { readSse } from './stream-clients.ts'
import { createTempDir, createTestDatabase, hasPostgres, TEST_KEY } from './testkit.ts'
import { until } from './whatsapp.ts'

const PATIENCE_MS = 60_000
const MAX_OPENING = 8

const environmentOf = (whatsapp: FakeProcess, more: Environment): Environment => ({
  WHATSAPP_URL: whatsapp.url,
  WHATSAPP_INSECURE: 'true',
  MAX_OPENING: String(MAX_OPENING),
  RATE_LIMIT_PER_MINUTE: '1000000',
  LOG_LEVEL: 'warn',
  ...more,
})

/** A fake WhatsApp and gateways that are started one after the other on the same database, with sessions to restore. */
async function enter(count: number) {
  const database = await createTestDatabase()
  const proxy = await startBreakableProxy(database.url)
  const DATA_DIR = createTempDir()
  onTestFinished(async () => {
    await proxy.close()
    await database.drop()
    rmSync(DATA_DIR, { recursive: true, force: true })
  })
  const whatsapp = await startFakeProcessForTest('--accept-unknown')
  const fleet = await seedFleet(database.url, count)
  const environment = environmentOf(whatsapp, { DATA_DIR, DATABASE_URL: proxy.url, ENCRYPTION_KEY: TEST_KEY })
  const stats = () => whatsapp.call<Stats>('stats')
  const live = async () => (await whatsapp.call<{ number: string }[]>('live')).map(({ number }) => number)
  return {
    ...fleet,
    databaseUrl: database.url,
    proxy,
    whatsapp,
    stats,
    live,
    start: () => startGatewayProcessForTest(environment),
    /** Waits until all are connected; all the while nothing may be called connected that WhatsApp does not know of. */
    allConnected: (gateway: GatewayProcess) =>
      until(
        async () => {
          const connected = await connectedIn(gateway.url, fleet.token)
          const known = new Set(await live())
          expect(connected.filter((number) => !known.has(number))).toEqual([])
          return connected.length
        },
        (connected) => connected === count,
        PATIENCE_MS,
      ),
    gone: () => until(live, (numbers) => numbers.length === 0, PATIENCE_MS),
  }
}

/** Writes webhooks, one after the other, until the gateway is gone. */
function keepWriting({ url }: GatewayProcess, token: string) {
  const writer = { acknowledged: 0, over: Promise.resolve() }
  const work = async () => {
    for (;;) {
      const next = writer.acknowledged + 1
      const write = `mutation { setWebhook(input: { instance: { name: "number-00000" }, config: { url: "https://example.com/${next}" } }) { webhook { url } } }`
      const answer = await ask(url, token, write).catch(() => null)
      if (!answer?.data) return
      writer.acknowledged = next
    }
  }
  writer.over = work()
  return writer
}

/** Waits until a writer is well under way. */
const underWay = (writer: { acknowledged: number }) =>
  until(
    () => writer.acknowledged,
    (acknowledged) => acknowledged >= 10,
    PATIENCE_MS,
  )

const lastWritten = async (databaseUrl: string) => {
  const { url } = await inDatabase(databaseUrl, (db) =>
    db.selectFrom('webhooks').select('url').executeTakeFirstOrThrow(),
  )
  return Number(url?.split('/').at(-1))
}

describe.skipIf(!hasPostgres)('50 live sessions on PostgreSQL', () => {
  test('come back after kill -9, without a QR and a few at a time, and no acknowledged write is missing', async () => {
    const place = await enter(50)
    const gateway = await place.start()
    await place.allConnected(gateway)
    const writer = keepWriting(gateway, place.token)
    await underWay(writer)
    gateway.signal('SIGKILL')
    expect(await gateway.exited).toMatchObject({ signal: 'SIGKILL' })
    await writer.over
    await place.gone()

    await place.whatsapp.call('loginDelay', 300)
    const again = await place.start()
    const { counts: before } = await place.stats()
    expect([...(await statesIn(again.url, place.token)).values()]).not.toContain('DISCONNECTED')
    await place.allConnected(again)

    const { counts, openingPeak } = await place.stats()
    expect(before.login).toBeLessThan(100)
    expect(counts.login).toBe(100)
    expect(counts.registration ?? 0).toBe(0)
    expect(counts.refusedLogin ?? 0).toBe(0)
    expect(openingPeak).toBeLessThanOrEqual(MAX_OPENING)
    expect(await lastWritten(place.databaseUrl)).toBeGreaterThanOrEqual(writer.acknowledged)
  }, 120_000)

  test('end with SIGTERM in time and in peace, and are what they were after the next start', async () => {
    const place = await enter(50)
    const gateway = await place.start()
    await place.allConnected(gateway)
    const stopped = await ask(
      gateway.url,
      place.token,
      'mutation { disconnectInstance(input: { instance: { name: "number-00049" } }) { instance { connection { state } } } }',
    )
    expect(stopped.data.disconnectInstance.instance.connection.state).toBe('DISCONNECTED')
    const writer = keepWriting(gateway, place.token)
    await underWay(writer)
    const { code, ms } = await gateway.stop()
    expect(code).toBe(0)
    expect(ms).toBeLessThan(10_000)
    expect(gateway.stderr()).not.toContain('could not be written')
    await writer.over
    await place.gone()

    const again = await place.start()
    await until(
      () => connectedIn(again.url, place.token),
      (connected) => connected.length === 49,
      PATIENCE_MS,
    )
    expect((await statesIn(again.url, place.token)).get(place.numbers[49] ?? '')).toBe('DISCONNECTED')
    expect(await lastWritten(place.databaseUrl)).toBeGreaterThanOrEqual(writer.acknowledged)
    const { counts } = await place.stats()
    expect(counts.login).toBe(50 + 49)
    expect(counts.refusedLogin ?? 0).toBe(0)
  }, 120_000)

  test('stay connected while PostgreSQL is away, and what they learn meanwhile is kept', async () => {
    const place = await enter(50)
    const gateway = await place.start()
    await place.allConnected(gateway)
    const [renamed = '', dropped = ''] = place.numbers

    await place.proxy.cut()
    await place.whatsapp.call('phone.writeToSelf', renamed, 'hello', 'Named while it was away')
    await place.whatsapp.call('phone.drop', dropped)
    const end = Date.now() + 4_000
    while (Date.now() < end) {
      expect((await fetch(`${gateway.url}/health/live`)).status).toBe(200)
      // The one that was dropped may have to wait for its settings.
      expect((await place.live()).length).toBeGreaterThanOrEqual(49)
      await setTimeout(200)
    }
    await place.proxy.restore()

    await until(
      () => connectedIn(gateway.url, place.token).catch(() => []),
      (connected) => connected.length === 50,
      PATIENCE_MS,
    )
    const { counts } = await place.stats()
    expect(counts.login).toBe(51)
    const nameOf = async () => (await credsIn(place.databaseUrl, place.ids[0] ?? ''))?.me?.name
    await until(nameOf, (name) => name === 'Named while it was away', 10_000)
    gateway.signal('SIGKILL')
    await gateway.exited
    await place.gone()
    await place.allConnected(await place.start())
    expect((await place.stats()).counts.refusedLogin ?? 0).toBe(0)
  }, 120_000)
})

describe.skipIf(!hasPostgres)('a stop while the database does not answer', () => {
  test('is over in time, and says what could not be written', async () => {
    const place = await enter(5)
    const gateway = await place.start()
    await place.allConnected(gateway)
    place.proxy.hang()
    await place.whatsapp.call('phone.writeToSelf', place.numbers[0], 'hello', 'Named while it hung')
    await setTimeout(300)
    const { code, ms } = await gateway.stop()
    expect(code).toBe(0)
    expect(ms).toBeLessThan(10_000)
    expect(gateway.stderr()).toContain('the last changes could not be written')
    await place.gone()
  }, 60_000)
})

describe('on the embedded database', () => {
  let template = ''
  beforeAll(async () => {
    template = await createDataDirTemplate()
  })
  afterAll(() => removeDataDir(template))

  test('sessions that were paired by QR come back after kill -9', async () => {
    const token = 'a-token-that-an-operator-has-chosen'
    const whatsapp = await startFakeProcessForTest()
    const environment = environmentOf(whatsapp, {
      DATA_DIR: copyDataDirForTest(template),
      DEMO: 'false',
      BOOTSTRAP_TOKEN: token,
    })
    const numbers = ['15570000001', '15570000002', '15570000003']
    const gateway = await startGatewayProcessForTest(environment)

    const pair = async (number: string) => {
      await whatsapp.call('phone', { number, name: 'Ann' })
      const made = await ask(
        gateway.url,
        token,
        `mutation { createInstance(input: { name: "n${number}" }) { instance { id } } }`,
      )
      const { id } = made.data.createInstance.instance as { id: string }
      const steps = readSse(gateway, token, PairingDocument.toString(), { instance: { id } })
      await ask(
        gateway.url,
        token,
        `mutation { connectInstance(input: { instance: { id: "${id}" } }) { instance { id } } }`,
      )
      const qr = await until(
        () => steps.events.find((step) => step?.__typename === 'PairingQrCode'),
        (step) => step !== undefined,
        PATIENCE_MS,
      )
      await whatsapp.call('phone.scan', number, qr.value)
    }
    await Promise.all(numbers.map(pair))
    const connected = async (at: GatewayProcess) => {
      const states = await until(
        () => ask(at.url, token, '{ instances { connection { state numberJid reason { code message } } } }'),
        ({ data }) => data?.instances.every(({ connection }: any) => connection.state === 'CONNECTED'),
        PATIENCE_MS,
      )
      return states.data.instances.map(({ connection }: any) => connection.numberJid.replace(/@.*/, '')).toSorted()
    }
    expect(await connected(gateway)).toEqual(numbers)
    const { counts: before } = await whatsapp.call<Stats>('stats')

    gateway.signal('SIGKILL')
    await gateway.exited
    const again = await startGatewayProcessForTest(environment)
    expect(await connected(again)).toEqual(numbers)
    const { counts } = await whatsapp.call<Stats>('stats')
    expect(counts.registration).toBe(before.registration)
    expect(counts.refusedLogin ?? 0).toBe(0)
    expect(await again.stop()).toMatchObject({ code: 0 })
  }, 120_000)
})
