import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { setTimeout } from 'node:timers/promises'
import { describe, expect, onTestFinished, test } from 'vitest'
import { loadBaileys } from '../src/session/baileys.ts'
import { startFakeProcessForTest } from './fake-process.ts'
import type { Stats } from './fake-whatsapp/server.ts'
import { ask, connectedIn, seedFleet } from './fleet.ts'
import { createTestDatabase, hasPostgres, startTestGateway } from './testkit.ts'
import { until } from './whatsapp.ts'

/** SESSIONS=2000 npx vitest run test/session-scale.test.ts measures more of them. */
const SESSIONS = Number(process.env.SESSIONS ?? 500)
const MAX_OPENING = 8
const MIB = 1_024 * 1_024
const PATIENCE_MS = 60_000 + SESSIONS * 500

setFlagsFromString('--expose-gc')
const collectGarbage = runInNewContext('gc') as () => void

/** What is in use after everything that can be forgotten is. */
async function memory() {
  for (let round = 0; round < 3; round++) {
    collectGarbage()
    await setTimeout(100)
  }
  const { heapUsed, rss, external } = process.memoryUsage()
  return { heapUsed, rss, external }
}

/** Asks over and over until it is told to stop; the longest answer, in milliseconds. */
function watch(asking: () => Promise<unknown>) {
  const stop = new AbortController()
  const times: number[] = []
  const watching = (async () => {
    while (!stop.signal.aborted) {
      const startedAt = performance.now()
      await asking()
      times.push(performance.now() - startedAt)
      await setTimeout(50)
    }
  })()
  return async () => {
    stop.abort()
    await watching
    return { worst: Math.round(Math.max(...times)), answers: times.length }
  }
}

const report = (line: string) => void process.stdout.write(`${line}\n`)

const resources = () =>
  process.getActiveResourcesInfo().filter((name) => name === 'Timeout' || name.startsWith('TCP') || name === 'TLSWrap')

describe.skipIf(!hasPostgres)(`${SESSIONS} sessions`, () => {
  test(
    'come back while everybody is served, cost little while they are idle, and leave nothing when they end',
    async () => {
      const database = await createTestDatabase()
      onTestFinished(database.drop)
      const whatsapp = await startFakeProcessForTest('--accept-unknown')
      // As over a network: openings overlap.
      await whatsapp.call('loginDelay', 200)
      const fleet = await seedFleet(database.url, SESSIONS)
      const stats = () => whatsapp.call<Stats>('stats')
      // What is loaded once, and its connections, do not count.
      const warmUp = await startTestGateway({ databaseUrl: database.url, whatsappUrl: 'ws://127.0.0.1:1/' })
      await warmUp.close()
      await loadBaileys()
      const [resourcesBefore, memoryBefore] = [resources(), await memory()]

      const startedAt = performance.now()
      const gateway = await startTestGateway({
        databaseUrl: database.url,
        whatsappUrl: whatsapp.url,
        maxOpening: MAX_OPENING,
        logLevel: 'warn',
      })
      onTestFinished(gateway.close)
      const stopHealth = watch(async () => expect((await gateway.get('/health/live')).status).toBe(200))
      const stopQuery = watch(async () => {
        const { data } = await ask(gateway.url, fleet.token, '{ viewer { account { instanceCount } } }')
        expect(data.viewer.account.instanceCount).toBe(SESSIONS)
      })
      await until(
        () => connectedIn(gateway.url, fleet.token),
        (connected) => connected.length === SESSIONS,
        PATIENCE_MS,
      )
      const seconds = (performance.now() - startedAt) / 1_000
      const [health, query] = await Promise.all([stopHealth(), stopQuery()])
      const { counts, openingPeak } = await stats()
      expect(counts.login).toBe(SESSIONS)
      expect(openingPeak).toBeLessThanOrEqual(MAX_OPENING)
      expect(health.worst).toBeLessThan(3_000)
      expect(query.worst).toBeLessThan(3_000)

      gateway.log.length = 0
      gateway.statements.length = 0
      const memoryIdle = await memory()
      const perSession = (kind: keyof typeof memoryIdle) =>
        Math.round((memoryIdle[kind] - memoryBefore[kind]) / 1_024 / SESSIONS)
      report(
        `${SESSIONS} sessions: all open after ${seconds.toFixed(1)} s, at most ${openingPeak} opening; ` +
          `worst answers ${health.worst} ms (health, of ${health.answers}) and ${query.worst} ms (GraphQL, of ${query.answers}); ` +
          `idle: heap ${perSession('heapUsed')} KiB, external ${perSession('external')} KiB, RSS ${perSession('rss')} KiB each`,
      )
      expect(perSession('heapUsed')).toBeLessThan(1_024)

      await gateway.services.sessions.close()
      await until(stats, ({ live, connections }) => live + connections === 0)
      expect(gateway.services.sessions.pairingSteps.size).toBe(0)
      await gateway.close()
      expect(gateway.services.sessions.connectionTicks.size).toBe(0)
      const memoryAfter = await memory()
      const left = memoryAfter.heapUsed - memoryBefore.heapUsed
      report(`after them: heap ${Math.round(left / 1_024)} KiB more than before`)
      expect(resources().length).toBeLessThanOrEqual(resourcesBefore.length)
      // Beside what they had, some things are made once and kept.
      expect(left).toBeLessThan(8 * MIB + 0.25 * (memoryIdle.heapUsed - memoryBefore.heapUsed))
    },
    PATIENCE_MS + 60_000,
  )
})
