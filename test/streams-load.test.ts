import { once } from 'node:events'
import { get } from 'node:http'
import { connect } from 'node:net'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { afterAll, beforeAll, expect, onTestFinished, test, vi } from 'vitest'
import { insertToken } from '../src/token/actions.ts'
import { generateToken } from '../src/token/token.ts'
import { listInstances } from '../src/instance/queries.ts'
import { seed } from './seed.ts'
import { startTestGateway, type TestGateway } from './testkit.ts'

const READERS = 200
const STREAMS_OF_A_TOKEN = 20

let gateway: TestGateway
beforeAll(async () => {
  gateway = await startTestGateway()
})
afterAll(() => gateway.close())

const targetOf = (query: string) => `/graphql?query=${encodeURIComponent(query)}`
const EVENTS = { accept: 'text/event-stream' }

/**
 * What the readers and their events may add to the heap, with the clients, which run in this process. If each change were
 * kept for each reader, it would be two million.
 */
const MOST_HEAP_BYTES = 150 * 1024 * 1024
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

/** A reader that keeps the last sequence of each instance. */
async function follow(token: string) {
  const last = new Map<string, number>()
  const stats = { events: 0, isOrdered: true }
  const asked = get(
    `${gateway.url}${targetOf('subscription { connectionChanged { instanceId connection { sequence } } }')}`,
    {
      headers: { ...EVENTS, token },
      agent: false,
    },
  )
  onTestFinished(() => void asked.destroy())
  asked.on('error', () => {})
  const [response] = await once(asked, 'response')
  let rest = ''
  response.setEncoding('utf8').on('data', (text: string) => {
    const lines = (rest + text).split('\n')
    rest = lines.pop() ?? ''
    for (const line of lines) {
      if (!line.startsWith('data: {')) continue
      const { instanceId, connection } = JSON.parse(line.slice(6)).data.connectionChanged
      stats.isOrdered &&= connection.sequence > (last.get(instanceId) ?? -1)
      stats.events++
      last.set(instanceId, connection.sequence)
    }
  })
  response.on('error', () => {})
  return { last, stats }
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

test('10,000 changes in a second reach 200 readers as a few each, in order and to the last', async () => {
  const { db, sessions } = gateway.services
  const shop = await seed(db).account('shop')
  const ids = (await shop.instances(10)).map(({ id }): string => id)
  const instances = await listInstances(db, { kind: 'account', accountId: shop.id })
  const sequences = new Map(ids.map((id) => [id, 0]))
  const statusOf = sessions.statusOf.bind(sessions)
  const spy = vi.spyOn(sessions, 'statusOf').mockImplementation((facts) => ({
    ...statusOf(facts),
    sequence: sequences.get((facts as { id?: string }).id ?? '') ?? 0,
  }))
  onTestFinished(() => spy.mockRestore())

  gateway.statements.length = 0
  const heapBefore = heapBytes()
  const tokens = await tokensFor(shop.id)
  const readers = await Promise.all(
    Array.from({ length: READERS - 1 }, (_, index) => follow(tokens[index % tokens.length] ?? '')),
  )
  await fallSilent(shop.token, 'subscription { connectionChanged { instanceId } }')
  await vi.waitFor(() => expect(readers.every(({ last }) => last.size === 10)).toBe(true), { timeout: 10_000 })
  const lookups = gateway.statements.filter((sql) => /from "tokens" .*where "digest"/.test(sql)).length
  expect(lookups).toBeLessThan(READERS)

  const startedAt = performance.now()
  for (let step = 0; step < 100; step++) {
    for (let flip = 0; flip < 100; flip++) {
      const instance = instances[flip % 10]
      if (!instance) continue
      sequences.set(instance.id, (sequences.get(instance.id) ?? 0) + 1)
      sessions.connectionTicks.publish(shop.id, { kind: 'changed', instance })
    }
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
  const tookMs = performance.now() - startedAt
  await vi.waitFor(
    () => {
      for (const { last } of readers) expect(last).toEqual(sequences)
    },
    { timeout: 3_000, interval: 50 },
  )
  const most = 10 * (3 + Math.ceil(tookMs / 200))
  for (const { stats } of readers) {
    expect(stats.isOrdered).toBe(true)
    expect(stats.events).toBeLessThanOrEqual(most)
  }
  const grownBytes = heapBytes() - heapBefore
  expect(grownBytes).toBeLessThan(MOST_HEAP_BYTES)
})

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
