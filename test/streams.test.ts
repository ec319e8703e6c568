import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { seed } from './seed.ts'
import { TRANSPORTS } from './stream-clients.ts'
import { startTestGateway, type TestGateway } from './testkit.ts'

let gateway: TestGateway
beforeAll(async () => {
  gateway = await startTestGateway()
})
afterAll(() => gateway.close())

let accounts = 0
const account = () => seed(gateway.services.db).account(`shop-${accounts++}`)
const create = (name: string, token: string) =>
  gateway.post(`mutation { createInstance(input: { name: "${name}" }) { token instance { id } } }`, token)
const remove = (name: string, token: string) =>
  gateway.post(`mutation { deleteInstance(input: { instance: { name: "${name}" } }) { deletedInstanceId } }`, token)

describe.each(TRANSPORTS)('over %s', (_name, read) => {
  test('a stream begins with every instance, and then tells what is created and deleted', async () => {
    const shop = await account()
    const sales = await shop.instance('sales')
    await shop.instance('support')
    const reader = read(gateway, shop.token)
    await reader.received(2)
    await create('new', shop.token)
    await remove('sales', shop.token)
    const events = await reader.received(4)
    expect(events.map(({ kind, instanceName, snapshotRemaining }) => [kind, instanceName, snapshotRemaining])).toEqual([
      ['SNAPSHOT', 'sales', 1],
      ['SNAPSHOT', 'support', 0],
      ['ADDED', 'new', 0],
      ['REMOVED', 'sales', 0],
    ])
    expect(events[0]).toMatchObject({
      instanceId: sales.id,
      connection: { state: 'DISCONNECTED', reason: { code: 'NOT_PAIRED' } },
      instance: { name: 'sales' },
    })
    expect(events[3].instance).toBeNull()
  })
})
