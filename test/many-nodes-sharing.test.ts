import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type FakeWhatsApp, startFakeWhatsApp } from './fake-whatsapp/server.ts'
import { type Fleet, seedFleet } from './fleet.ts'
import { hasOwnRedis, type OwnRedis, startOwnRedis } from './own-redis.ts'
import { createTestDatabase, hasPostgres, startTestGateway, type TestGateway } from './testkit.ts'
import { until } from './whatsapp.ts'

const SESSIONS = 12
const CALM_MS = 1_000
/** How long nodes that share evenly are watched: some looks of each. */
const REST_MS = 7_000
/** A node looks every 2 s, or a little later. */
const BETWEEN_MOVES_MS = 1_500

describe.skipIf(!hasPostgres || !hasOwnRedis)('a node that comes to others that have all the sessions', () => {
  let redis: OwnRedis
  let whatsapp: FakeWhatsApp
  let database: Awaited<ReturnType<typeof createTestDatabase>>
  let fleet: Fleet
  const gateways: TestGateway[] = []

  beforeAll(async () => {
    ;[redis, whatsapp, database] = await Promise.all([
      startOwnRedis(),
      startFakeWhatsApp({ acceptUnknownDevices: true }),
      createTestDatabase(),
    ])
    fleet = await seedFleet(database.url, SESSIONS)
  })
  afterAll(async () => {
    await Promise.all(gateways.map((gateway) => gateway.close()))
    await Promise.all([redis.close(), whatsapp.close(), database.drop()])
  })

  const join = async () => {
    const gateway = await startTestGateway(
      {
        databaseUrl: database.url,
        redisUrl: redis.url,
        nodeAddress: { host: '127.0.0.1', port: 0 },
        whatsappUrl: whatsapp.url,
      },
      { calmMs: CALM_MS },
    )
    gateways.push(gateway)
    return gateway
  }
  const shares = () => gateways.map(({ services }) => services.sessions.countByState().connected)
  const become = (expected: readonly number[]) =>
    until(shares, (present) => String(present) === String(expected), 30_000)
  const owners = async () =>
    gateways[0]?.services.db
      .selectFrom('session_owners')
      .select(['instance_id as id', 'epoch', 'claimed_at as at'])
      .orderBy('instance_id')
      .execute() ?? []

  test('is given its share, one session after the other and the quietest first, and then nothing moves', async () => {
    const first = await join()
    await become([SESSIONS])
    const phones = fleet.numbers.map((number) => whatsapp.contact(number))
    for (const phone of phones.slice(4)) phone.showPresence('15550000001', 'available')
    await sleep(50)
    // Pings, of the server here, tell nothing.
    for (const [connection] of phones.slice(0, 4).map((phone) => phone.live())) {
      connection?.send({
        tag: 'iq',
        attrs: { id: 'ping', from: 's.whatsapp.net', type: 'get', xmlns: 'urn:xmpp:ping' },
      })
    }

    const second = await join()
    await become([8, 4])
    const quietest = fleet.ids.slice(0, 4)
    expect(fleet.ids.filter((id) => second.services.sessions.runs(id))).toEqual(quietest)
    const moments = (await owners()).filter(({ id }) => quietest.includes(id)).map(({ at }) => at?.getTime() ?? 0)
    const [earliest = 0, ...later] = moments.toSorted((one, other) => one - other)
    const startedAt = first.services.sessions.peers?.list()[0]?.startedAt.getTime() ?? Infinity
    expect(earliest - startedAt).toBeGreaterThan(CALM_MS)
    const pauses = later.map((moment, index) => moment - (later[index - 1] ?? earliest))
    expect(Math.min(...pauses)).toBeGreaterThan(BETWEEN_MOVES_MS)

    await join()
    await become([6, 4, 2])
    const before = await owners()
    await sleep(REST_MS)
    expect(await owners()).toEqual(before)
    expect(gateways.map(({ services }) => services.sessions.counts.handedOver)).toEqual([6, 0, 0])
    expect(shares()).toEqual([6, 4, 2])
  })
})
