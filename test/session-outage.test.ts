import { setTimeout } from 'node:timers/promises'
import { describe, expect, onTestFinished, test } from 'vitest'
import { startFakeWhatsApp } from './fake-whatsapp/server.ts'
import { credsIn, seedFleet } from './fleet.ts'
import { hasOwnPostgres, startOwnPostgresForTest } from './own-postgres.ts'
import { readSse } from './stream-clients.ts'
import { startGatewayForTest } from './testkit.ts'
import { until } from './whatsapp.ts'

const SESSIONS = 20
const AWAY_MS = 30_000
/** A server that is not there refuses at once; the rest is for a busy machine. */
const BOUND_MS = 5_000

const STATES = 'subscription { connectionChanged { connection { state numberJid } } }'
const READ = '{ instances { connection { state } } }'
const WRITE = `mutation { disconnectInstance(input: { instance: { name: "number-00002" } }) { instance { id } } }`

describe.skipIf(!hasOwnPostgres)('while PostgreSQL is stopped for half a minute', () => {
  test('sessions stay, questions are answered in time, and all is as before when it is started', async () => {
    const postgres = await startOwnPostgresForTest()
    const databaseUrl = await postgres.createDatabase('switchboard')
    const { token, ids, numbers } = await seedFleet(databaseUrl, SESSIONS)
    const whatsapp = await startFakeWhatsApp({ acceptUnknownDevices: true })
    onTestFinished(() => whatsapp.close())
    const gateway = await startGatewayForTest({ databaseUrl, whatsappUrl: whatsapp.url })
    const live = () => whatsapp.live().map(({ number }) => number)
    await until(live, (connected) => connected.length === SESSIONS, 60_000)
    const [renamed = '', dropped = ''] = numbers
    const reader = readSse(gateway, token, STATES)
    await reader.received(SESSIONS)
    const stateOf = (number: string) =>
      reader.events.findLast(({ connection }) => connection.numberJid.startsWith(number))?.connection.state
    await until(
      () => numbers.map(stateOf),
      (states) => states.every((state) => state === 'CONNECTED'),
    )

    await postgres.stop()
    const stoppedAt = performance.now()
    await whatsapp.phoneByNumber(renamed)?.writeToSelf('hello', 'Named while it was away')
    whatsapp.phoneByNumber(dropped)?.drop()
    // The stream needs no row.
    await until(
      () => stateOf(dropped),
      (state) => state === 'CONNECTING',
      BOUND_MS,
    )
    // Until it is noticed, answers come from memory.
    await until(
      () => gateway.services.readModel.isCurrent(),
      (isCurrent) => !isCurrent,
    )
    const inTime = async <Answer>(asking: Promise<Answer>): Promise<Answer> => {
      const startedAt = performance.now()
      const answer = await asking
      expect(performance.now() - startedAt).toBeLessThan(BOUND_MS)
      return answer
    }
    let rounds = 0
    for (; performance.now() - stoppedAt < AWAY_MS; rounds++) {
      const [rest, read, write, ready, alive] = await Promise.all([
        inTime(gateway.get('/api/instance/list', token)),
        inTime(gateway.post(READ, token)),
        inTime(gateway.post(WRITE, token)),
        inTime(gateway.get('/health/ready')),
        inTime(gateway.get('/health/live')),
      ])
      expect([rest.status, read.status, write.status, ready.status, alive.status]).toEqual([503, 503, 503, 503, 200])
      expect([read, write].map(({ errors }) => errors?.[0]?.extensions.code)).toEqual([
        'SERVICE_UNAVAILABLE',
        'SERVICE_UNAVAILABLE',
      ])
      expect(live().length).toBeGreaterThanOrEqual(SESSIONS - 1)
      await setTimeout(500)
    }
    expect(rounds).toBeGreaterThan(10)
    expect(reader.outcome).toEqual({ kind: 'open' })

    await postgres.start()
    const answered = await until(
      () => gateway.post(READ, token),
      ({ data }) => data?.instances.every(({ connection }: any) => connection.state === 'CONNECTED'),
      90_000,
    )
    expect(answered.data.instances).toHaveLength(SESSIONS)
    expect((await gateway.get('/api/instance/list', token)).status).toBe(200)
    expect((await gateway.get('/health/ready')).status).toBe(200)
    expect((await gateway.post(WRITE, token)).errors).toBeUndefined()
    await until(
      () => stateOf(dropped),
      (state) => state === 'CONNECTED',
    )
    expect(whatsapp.all('login')).toHaveLength(SESSIONS + 1)
    expect(whatsapp.stats().counts.registration ?? 0).toBe(0)
    const nameOf = async () => (await credsIn(databaseUrl, ids[0] ?? ''))?.me?.name
    await until(nameOf, (name) => name === 'Named while it was away')
  }, 240_000)
})
