import { setTimeout } from 'node:timers/promises'
import { describe, expect, onTestFinished, test } from 'vitest'
import { startBreakableProxy } from './breakable-proxy.ts'
import { startFakeWhatsApp } from './fake-whatsapp/server.ts'
import { credsIn, inDatabase, seedFleet } from './fleet.ts'
import { seed } from './seed.ts'
import { createTestDatabase, hasPostgres, startTestGateway } from './testkit.ts'
import { createNumber, until } from './whatsapp.ts'

async function createPlace() {
  const database = await createTestDatabase()
  onTestFinished(database.drop)
  const proxy = await startBreakableProxy(database.url)
  onTestFinished(proxy.close)
  const whatsapp = await startFakeWhatsApp({ acceptUnknownDevices: true })
  onTestFinished(() => whatsapp.close())
  const start = async () => {
    const gateway = await startTestGateway({ databaseUrl: proxy.url, whatsappUrl: whatsapp.url })
    onTestFinished(gateway.close)
    return gateway
  }
  return { url: database.url, proxy, whatsapp, start }
}

describe.skipIf(!hasPostgres)('a start', () => {
  test('brings back what was wanted, tries an outdated client once more, and leaves alone what was given up', async () => {
    const place = await createPlace()
    const { token, ids, numbers } = await seedFleet(place.url, 5)
    const gone = { stopped_at: new Date() }
    const facts = [
      {},
      { stop_reason: 'CLIENT_OUTDATED', stop_whatsapp_code: 405, ...gone },
      { stop_reason: 'REPLACED', stop_whatsapp_code: 440, ...gone },
      { logged_out_at: new Date() },
      { desired_state: 'disconnected' },
    ] as const
    await inDatabase(place.url, async (db) => {
      for (const [index, fact] of facts.entries()) {
        if (index > 0)
          await db
            .updateTable('instances')
            .set(fact)
            .where('id', '=', ids[index] ?? '')
            .execute()
      }
    })
    const gateway = await place.start()
    const connections = async () => {
      const { data } = await gateway.post('{ instances { connection { state numberJid reason { code } } } }', token)
      const found = data.instances as {
        connection: { state: string; numberJid: string; reason: { code: string } | null }
      }[]
      return numbers.map((number) => {
        const connection = found.find((instance) => instance.connection.numberJid.startsWith(number))?.connection
        return [connection?.state, connection?.reason?.code ?? null]
      })
    }
    await until(connections, ([first, second]) => first?.[0] === 'CONNECTED' && second?.[0] === 'CONNECTED')
    expect(await connections()).toEqual([
      ['CONNECTED', null],
      ['CONNECTED', null],
      ['DISCONNECTED', 'REPLACED'],
      ['LOGGED_OUT', 'LOGGED_OUT'],
      ['DISCONNECTED', 'STOPPED'],
    ])
    expect(
      place.whatsapp
        .all('login')
        .map(({ number }) => number)
        .toSorted(),
    ).toEqual(numbers.slice(0, 2))

    // What stopped it before has nothing to do with why it is disconnected now.
    await gateway.post(
      `mutation { disconnectInstance(input: { instance: { id: "${ids[1]}" } }) { instance { name } } }`,
      token,
    )
    expect((await connections())[1]).toEqual(['DISCONNECTED', 'STOPPED'])
  })

  test('finds a pairing that was made when the gateway was stopped and the database was slow', async () => {
    const place = await createPlace()
    const gateway = await place.start()
    const account = await seed(gateway.services.db).account('shop')
    const stage = { whatsapp: place.whatsapp, gateway, account, close: gateway.close }
    const pair = async () => {
      const number = await createNumber(stage)
      await number.connect()
      const { value } = await number.offers('qr')
      return { number, scan: () => number.phone.scan(value) }
    }
    const pairs = await Promise.all(Array.from({ length: 5 }, pair))
    place.proxy.hang()
    await Promise.all(pairs.map(({ scan }) => scan()))
    const closing = gateway.close()
    await setTimeout(1_600)
    await place.proxy.restore()
    await closing
    for (const { number } of pairs) {
      const creds = await credsIn(place.url, number.instance.id)
      expect(creds?.account).toBeDefined()
    }
    const again = await place.start()
    const rows = await again.services.db.selectFrom('instances').select(['id', 'number_jid']).execute()
    expect(rows.map((row) => row.number_jid).toSorted()).toEqual(pairs.map(({ number }) => number.phone.jid).toSorted())
    await until(
      () => place.whatsapp.live().map(({ number }) => number),
      (live) => live.length === pairs.length,
    )
    expect(place.whatsapp.all('refusedLogin')).toEqual([])
  })

  test('finds a logout that came when the gateway was stopped and the database was slow', async () => {
    const place = await createPlace()
    const gateway = await place.start()
    const account = await seed(gateway.services.db).account('shop')
    const number = await createNumber({ whatsapp: place.whatsapp, gateway, account, close: gateway.close })
    await number.link()
    place.proxy.hang()
    // What a logout is written after.
    await number.phone.writeToSelf('hello', 'Renamed')
    await setTimeout(300)
    number.phone.unlink()
    await number.reaches('loggedout')
    const closing = gateway.close()
    await setTimeout(1_000)
    await place.proxy.restore()
    await closing
    const row = await inDatabase(place.url, (db) =>
      db.selectFrom('instances').select(['logged_out_at', 'number_jid']).executeTakeFirstOrThrow(),
    )
    expect(row).toEqual({ logged_out_at: expect.any(Date), number_jid: number.phone.jid })
    expect(await credsIn(place.url, number.instance.id)).toBeUndefined()
  })

  test('opens nothing with credentials that were changed or moved, deletes nothing, and goes on once they are right', async () => {
    const place = await createPlace()
    const { token, ids, numbers } = await seedFleet(place.url, 4)
    const readCreds = async () => {
      const rows = await inDatabase(place.url, (db) => db.selectFrom('auth_creds').selectAll().execute())
      return new Map(rows.map((row) => [row.instance_id, row.creds_sealed]))
    }
    const writeCreds = (sealedOf: (id: string) => Buffer) =>
      inDatabase(place.url, async (db) => {
        for (const id of ids)
          await db
            .updateTable('auth_creds')
            .set({ creds_sealed: sealedOf(id) })
            .where('instance_id', '=', id)
            .execute()
      })
    const right = await readCreds()
    const rightOf = (id = '') => right.get(id) ?? Buffer.alloc(0)
    const [changed = '', moved = '', exchanged = ''] = ids
    const flipped = Buffer.from(rightOf(changed))
    flipped[flipped.length - 1] = (flipped.at(-1) ?? 0) ^ 1
    const wrong = new Map([
      [changed, flipped],
      [moved, rightOf(exchanged)],
      [exchanged, rightOf(moved)],
    ])
    await writeCreds((id) => wrong.get(id) ?? rightOf(id))

    const gateway = await place.start()
    const live = () => place.whatsapp.live().map(({ number }) => number)
    await until(live, (connected) => connected.length === 1)
    const triesOf = (id: string) =>
      gateway.log.filter(({ instanceId, msg }) => instanceId === id && msg === 'the connection could not be opened')
        .length
    await until(
      () => [...wrong.keys()].map(triesOf),
      (tries) => tries.every((count) => count >= 2),
    )
    const { data } = await gateway.post(
      `mutation { connectInstance(input: { instance: { id: "${changed}" } }) { instance { connection { state } } } }`,
      token,
    )
    expect(data.connectInstance.instance.connection.state).toBe('CONNECTING')
    await setTimeout(300)
    expect(place.whatsapp.stats().counts.registration ?? 0).toBe(0)
    expect(place.whatsapp.all('login').map(({ number }) => number)).toEqual([numbers[3]])
    const present = await readCreds()
    expect(new Map([...wrong.keys()].map((id) => [id, present.get(id)]))).toEqual(wrong)

    await writeCreds(rightOf)
    await until(live, (connected) => connected.length === 4, 30_000)
  })
})
