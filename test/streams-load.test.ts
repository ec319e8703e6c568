import { fork } from 'node:child_process'
import { once } from 'node:events'
import { connect } from 'node:net'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { afterAll, beforeAll, expect, onTestFinished, test, vi } from 'vitest'
import { insertToken } from '../src/token/actions.ts'
import { generateToken } from '../src/token/token.ts'
import { listInstances } from '../src/instance/queries.ts'
import { bundle } from './bundle.ts'
import { seed } from './seed.ts'
import type { Order, Report } from './stream-readers.ts'
import { startTestGateway, type TestGateway } from './testkit.ts'

const READERS = 1_000
const INSTANCES = 10
const STREAMS_OF_A_TOKEN = 20

let gateway: TestGateway
beforeAll(async () => {
  gateway = await startTestGateway()
})
afterAll(() => gateway.close())

const targetOf = (query: string) => `/graphql?query=${encodeURIComponent(query)}`

/** What the readers and their events may add to the heap. If each change were kept for each reader, it would be ten million. */
const MOST_HEAP_BYTES = 50 * 1024 * 1024
setFlagsFromString('--expose-gc')
const collectGarbage = runInNewContext('gc') as () => void
const heapBytes = () => {
  collectGarbage()
  return process.memoryUsage().heapUsed
}

/** Tokens for so many streams of one account. */
const tokensFor = (accountId: string) =>
  Promise.all(
    Array.from({ length: READERS / STREAMS_OF_A_TOKEN }, async () => {
      const token = generateToken('account')
      await insertToken(gateway.services.db, { kind: 'account', accountId, token })
      return token
    }),
  )

/** Readers in a process of their own: one for each token that is given. */
async function startReaders(tokens: string[], instances: number) {
  const child = fork(await bundle('stream-readers.ts'), { stdio: 'inherit' })
  onTestFinished(() => void child.kill('SIGKILL'))
  const ask = async (order: Order): Promise<Report> => {
    const answered = once(child, 'message')
    child.send(order)
    const [report] = await answered
    return report
  }
  await ask({ url: gateway.url, tokens, instances })
  return { report: () => ask('report') }
}

/** A reader that asks and never reads. */
async function fallSilent(token: string, query: string) {
  const { hostname, port } = new URL(gateway.url)
  const socket = connect(Number(port), hostname)
  onTestFinished(() => void socket.destroy())
  await once(socket, 'connect')
  socket.pause()
  socket.write(`GET ${targetOf(query)} HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\nToken: ${token}\r\n\r\n`)
}

test('10,000 changes in a second reach 1,000 readers as a few each, in order and to the last', async () => {
  const { db, sessions } = gateway.services
  const shop = await seed(db).account('shop')
  const ids = (await shop.instances(INSTANCES)).map(({ id }): string => id)
  const instances = await listInstances(db, { kind: 'account', accountId: shop.id })
  const sequences = new Map(ids.map((id) => [id, 0]))
  const statusOf = sessions.statusOf.bind(sessions)
  const spy = vi.spyOn(sessions, 'statusOf')
  spy.mockImplementation((facts) => ({ ...statusOf(facts), sequence: sequences.get(facts.id) ?? 0 }))
  onTestFinished(() => spy.mockRestore())

  const tokens = await tokensFor(shop.id)
  gateway.statements.length = 0
  const heapBefore = heapBytes()
  const { report } = await startReaders(
    Array.from({ length: READERS - 1 }, (_, index) => tokens[index % tokens.length] ?? ''),
    INSTANCES,
  )
  await fallSilent(shop.token, 'subscription { connectionChanged { instanceId } }')
  // Coming all at once, they share the looks at their tokens.
  const lookups = gateway.statements.filter((sql) => /from "tokens" .*where "digest"/.test(sql)).length
  expect(lookups).toBeLessThanOrEqual(2 * tokens.length + 1)

  const startedAt = performance.now()
  for (let step = 0; step < 100; step++) {
    for (let flip = 0; flip < 100; flip++) {
      const instance = instances[flip % INSTANCES]
      if (!instance) continue
      sequences.set(instance.id, (sequences.get(instance.id) ?? 0) + 1)
      sessions.connectionTicks.publish(shop.id, { kind: 'changed', instance })
    }
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
  const tookMs = performance.now() - startedAt
  await vi.waitFor(
    async () => expect(await report()).toMatchObject({ last: Object.fromEntries(sequences), apart: 0 }),
    {
      timeout: 3_000,
      interval: 50,
    },
  )
  const { isOrdered, mostEvents } = await report()
  expect(isOrdered).toBe(true)
  expect(mostEvents).toBeLessThanOrEqual(INSTANCES * (3 + Math.ceil(tookMs / 200)))
  spy.mockClear()
  const grownBytes = heapBytes() - heapBefore
  process.stdout.write(`${READERS} readers: heap ${Math.round(grownBytes / 1024 / READERS)} KiB each\n`)
  expect(grownBytes).toBeLessThan(MOST_HEAP_BYTES)
}, 120_000)

test('a reader that never reads is asked for no more than the network takes', async () => {
  const { db, sessions } = gateway.services
  const large = await seed(db).account('large')
  await large.instances(6_000)
  const spy = vi.spyOn(sessions, 'statusOf')
  onTestFinished(() => spy.mockRestore())
  const wide = Array.from(
    { length: 15 },
    (_, index) => `a${index}: connection { state displayStatus since desiredState presenceStatus }`,
  ).join(' ')
  await fallSilent(large.token, `subscription { connectionChanged { instanceId ${wide} } }`)
  let before = -1
  await vi.waitFor(
    () => {
      const taken = spy.mock.calls.length
      const hasStopped = taken > 0 && taken === before
      before = taken
      expect(hasStopped).toBe(true)
    },
    { timeout: 20_000, interval: 500 },
  )
  expect(before).toBeLessThan(6_000)
})
