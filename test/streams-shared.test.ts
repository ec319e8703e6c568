import { afterAll, beforeAll, expect, onTestFinished, test, vi } from 'vitest'
import { parse } from 'graphql'
import type { PreparedOperation } from '../src/graphql/operations.ts'
import { SharedEvents } from '../src/graphql/shared-events.ts'
import { listInstances } from '../src/instance/queries.ts'
import type { Viewer } from '../src/viewer/viewer.ts'
import { seed } from './seed.ts'
import { readSse, TRANSPORTS } from './stream-clients.ts'
import { startTestGateway, type TestGateway } from './testkit.ts'

const READERS = 10
const DOCUMENT = parse('subscription { connectionChanged { kind } }')
const WEBHOOKS =
  'subscription ($names: [String]) { connectionChanged(names: $names) { kind instance { webhook { url } } } }'

let gateway: TestGateway
beforeAll(async () => {
  // Without memory, so that each execution shows as a statement.
  gateway = await startTestGateway({ readCacheMb: 0 })
})
afterAll(() => gateway.close())

const webhooksRead = () => gateway.statements.filter((sql) => /from "webhooks"/.test(sql)).length

/** A change of an account's only instance, told to whoever follows it. */
async function change(accountId: string) {
  const { db, sessions } = gateway.services
  const [instance] = await listInstances(db, { kind: 'account', accountId })
  if (!instance) throw new Error('It has no instance')
  const statusOf = sessions.statusOf.bind(sessions)
  const spy = vi.spyOn(sessions, 'statusOf')
  onTestFinished(() => spy.mockRestore())
  spy.mockImplementation((facts) => ({ ...statusOf(facts), sequence: 2 ** 50 }))
  sessions.connectionTicks.publish(accountId, { kind: 'changed', instance })
}

test.each(TRANSPORTS)('an event is executed once for all who ask the same over %s', async (_transport, read) => {
  const shop = await seed(gateway.services.db).account(`shop-${_transport}`)
  const sales = await shop.instance('sales')
  await sales.webhook({ url: 'https://example.com/hook' })
  const readers = Array.from({ length: READERS }, () => read(gateway, shop.token, WEBHOOKS))
  await Promise.all(readers.map((reader) => reader.received(1)))

  gateway.statements.length = 0
  await change(shop.id)
  for (const reader of readers) {
    const events = await reader.received(2)
    expect(events[1]).toEqual({ kind: 'CHANGED', instance: { webhook: { url: 'https://example.com/hook' } } })
  }
  expect(webhooksRead()).toBe(1)
})

test('who is somebody else is of another audience, whatever he asks', () => {
  const events = new SharedEvents()
  const join = (viewer: Viewer) =>
    events.join({ document: DOCUMENT, contextValue: { call: { viewer } } } as unknown as PreparedOperation)
  const account = { kind: 'account', accountId: 'a' } as const
  expect(join({ ...account })).toBe(join({ ...account }))
  expect(join({ kind: 'account', accountId: 'b' })).not.toBe(join(account))
  expect(join({ kind: 'instance', instanceId: 'i', within: 'a' })).not.toBe(join(account))
})

test('who asks with other variables, or as somebody else, has an execution of its own', async () => {
  const shop = await seed(gateway.services.db).account('shop')
  const sales = await shop.instance('sales')
  const readers = [
    readSse(gateway, shop.token, WEBHOOKS),
    readSse(gateway, shop.token, WEBHOOKS, { names: ['sales'] }),
    readSse(gateway, sales.token, WEBHOOKS),
    readSse(gateway, shop.token, WEBHOOKS.replace('url', 'address: url')),
  ]
  await Promise.all(readers.map((reader) => reader.received(1)))
  gateway.statements.length = 0
  await change(shop.id)
  await Promise.all(readers.map((reader) => reader.received(2)))
  expect(webhooksRead()).toBe(readers.length)
})

test('a stream that is opened after a write shows what was written, whoever follows already', async () => {
  const shop = await seed(gateway.services.db).account('writer')
  const sales = await shop.instance('sales')
  const earlier = readSse(gateway, shop.token, WEBHOOKS)
  await earlier.received(1)
  for (const url of ['https://example.com/1', 'https://example.com/2', 'https://example.com/3']) {
    await gateway.post(
      `mutation { setWebhook(input: { instance: { id: "${sales.id}" }, config: { url: "${url}" } }) { webhook { url } } }`,
      shop.token,
    )
    const [snapshot] = await readSse(gateway, shop.token, WEBHOOKS).received(1)
    expect(snapshot.instance.webhook.url).toBe(url)
  }
})
