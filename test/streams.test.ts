import { randomUUID } from 'node:crypto'
import { sql } from 'kysely'
import { afterAll, beforeAll, describe, expect, onTestFinished, test, vi } from 'vitest'
import { rotateAccountToken } from '../src/account/actions.ts'
import { runCommand } from '../src/operator/run.ts'
import { PairingDocument } from './generated/graphql.ts'
import { type SeededAccount, seed } from './seed.ts'
import { CONNECTIONS, connectWs, type Reader, readSse, TRANSPORTS } from './stream-clients.ts'
import { startGatewayForTest, startTestGateway, type TestGateway } from './testkit.ts'

const LIMIT = 100_000

let gateway: TestGateway
beforeAll(async () => {
  gateway = await startTestGateway({ rateLimitPerMinute: LIMIT })
})
afterAll(() => gateway.close())

let accounts = 0
const account = () => seed(gateway.services.db).account(`shop-${accounts++}`)
const create = async (name: string, token: string) => {
  const { data } = await gateway.post(
    `mutation { createInstance(input: { name: "${name}" }) { token instance { id } } }`,
    token,
  )
  return data.createInstance as { token: string; instance: { id: string } }
}
const remove = (name: string, token: string) =>
  gateway.post(`mutation { deleteInstance(input: { instance: { name: "${name}" } }) { deletedInstanceId } }`, token)
const cli = (name: string, ...args: string[]) => {
  const { db, logger, sealer, sessions } = gateway.services
  const tools = { db, logger, sealer: () => sealer, live: gateway.services, openSessions: async () => sessions }
  return runCommand(tools, { name, args, options: {} }, { tell: () => {}, signal: new AbortController().signal })
}
const short = ({ kind, instanceName, snapshotRemaining }: any) => `${kind} ${instanceName} ${snapshotRemaining}`
const remaining = async (token: string) =>
  Number((await gateway.get('/api/instance/list', token)).headers.get('x-ratelimit-remaining'))

/** What a stream that was refused is told, wherever its transport tells it. */
async function codeOfRefusal(reader: Reader): Promise<string> {
  const { kind, ...ended } = await reader.ended()
  const [result] = reader.results
  if (result) return result.errors[0].extensions.code
  if (kind !== 'error') return 'no error'
  const { error } = ended as { error: any }
  if (Array.isArray(error)) return error[0].extensions.code
  if (error.response) return (await error.response.json()).errors[0].extensions.code
  return String(error.code)
}

describe.each(TRANSPORTS)('over %s', (transport, read) => {
  test('a stream begins with every instance, and then tells what is created and deleted', async () => {
    const shop = await account()
    const sales = await shop.instance('sales')
    await shop.instance('support')
    const reader = read(gateway, shop.token)
    await reader.received(2)
    await create('new', shop.token)
    await remove('sales', shop.token)
    const events = await reader.received(4)
    expect(events.map(short)).toEqual(['SNAPSHOT sales 1', 'SNAPSHOT support 0', 'ADDED new 0', 'REMOVED sales 0'])
    expect(events[0]).toMatchObject({
      instanceId: sales.id,
      connection: { state: 'DISCONNECTED', reason: { code: 'NOT_PAIRED' } },
      instance: { name: 'sales' },
    })
    expect(events[3].instance).toBeNull()
  })

  test('a snapshot comes whole that the network does not take at once', async () => {
    const shop = await account()
    await shop.instances(2_000)
    // Nothing is loaded for such events, so that they are ready at once.
    const query = 'subscription { connectionChanged { instanceName snapshotRemaining } }'
    const events = await read(gateway, shop.token, query).received(2_000)
    expect(events.map(({ snapshotRemaining }) => snapshotRemaining)).toEqual(
      Array.from({ length: 2_000 }, (_, told) => 1_999 - told),
    )
  })

  test('names select, also among those that are created later', async () => {
    const shop = await account()
    await shop.instance('sales')
    await shop.instance('support')
    const reader = read(gateway, shop.token, CONNECTIONS, { names: ['support', 'later', null] })
    await reader.received(1)
    await create('other', shop.token)
    await create('later', shop.token)
    expect((await reader.received(2)).map(short)).toEqual(['SNAPSHOT support 0', 'ADDED later 0'])
  })

  test('an instance token is told of its own instance, whatever the names say, until it is deleted', async () => {
    const shop = await account()
    const sales = await shop.instance('sales')
    const reader = read(gateway, sales.token, CONNECTIONS, { names: ['support'] })
    await reader.received(1)
    await create('support', shop.token)
    await remove('sales', shop.token)
    expect((await reader.received(2)).slice(0, 2).map(short)).toEqual(['SNAPSHOT sales 0', 'REMOVED sales 0'])
    await reader.ended()
  })

  test('tenants see nothing of each other, and an empty account has no snapshot', async () => {
    const [shop, neighbour] = [await account(), await account()]
    const [mine, theirs] = [read(gateway, shop.token), read(gateway, neighbour.token)]
    await vi.waitFor(() => expect(gateway.services.sessions.connectionTicks.size).toBeGreaterThanOrEqual(2))
    await create('mine', shop.token)
    await create('theirs', neighbour.token)
    expect((await mine.received(1)).map(short)).toEqual(['ADDED mine 0'])
    expect((await theirs.received(1)).map(short)).toEqual(['ADDED theirs 0'])
  })

  test('more names than are possible are refused', async () => {
    const shop = await account()
    const names = Array.from({ length: 1_001 }, (_, index) => `n${index}`)
    expect(await codeOfRefusal(read(gateway, shop.token, CONNECTIONS, { names }))).toBe('BAD_USER_INPUT')
  })

  test('the instance of an event is read anew for each event', async () => {
    const shop = await account()
    const sales = await shop.instance('sales')
    const query = 'subscription { connectionChanged { kind instance { webhook { url } } } }'
    const reader = read(gateway, shop.token, query)
    await reader.received(1)
    await sales.webhook({ url: 'https://example.com/new' })
    const { sessions } = gateway.services
    const statusOf = sessions.statusOf.bind(sessions)
    const spy = vi.spyOn(sessions, 'statusOf').mockImplementation((facts) => {
      const status = statusOf(facts)
      return { ...status, sequence: status.sequence + 1 }
    })
    onTestFinished(() => spy.mockRestore())
    sessions.connectionTicks.publish(shop.id, { kind: 'changed', instance: sales })
    await reader.received(2)
    expect(reader.events).toEqual([
      { kind: 'SNAPSHOT', instance: { webhook: { url: null } } },
      { kind: 'CHANGED', instance: { webhook: { url: 'https://example.com/new' } } },
    ])
  })

  test('a failed batch is null beside a masked error, and the stream goes on', async () => {
    const shop = await account()
    const reader = read(
      gateway,
      shop.token,
      'subscription { connectionChanged { instanceName instance { webhook { url } } } }',
    )
    const { db } = gateway.services
    await db.schema.alterTable('webhooks').renameTo('hidden').execute()
    onTestFinished(() =>
      db.schema
        .alterTable('hidden')
        .renameTo('webhooks')
        .execute()
        .catch(() => undefined),
    )
    await vi.waitFor(() => expect(gateway.services.sessions.connectionTicks.size).toBeGreaterThan(0))
    await create('first', shop.token)
    await reader.received(1)
    expect(reader.results[0]).toMatchObject({
      data: { connectionChanged: { instanceName: 'first', instance: { webhook: null } } },
      errors: [{ message: 'Internal server error', extensions: { code: 'INTERNAL_SERVER_ERROR' } }],
    })
    await db.schema.alterTable('hidden').renameTo('webhooks').execute()
    await create('second', shop.token)
    await reader.received(2)
    expect(reader.results[1].errors).toBeUndefined()
  })

  describe('ends', () => {
    const endings: [string, (shop: SeededAccount, sales: { token: string; id: string }) => Promise<unknown>][] = [
      [
        'by mutation',
        (shop) =>
          gateway.post(
            'mutation { rotateInstanceToken(input: { instance: { name: "sales" } }) { token } }',
            shop.token,
          ),
      ],
      [
        'by command',
        async (_shop, sales) => {
          const { id } = await gateway.services.db
            .selectFrom('tokens')
            .select('id')
            .where('instance_id', '=', sales.id)
            .executeTakeFirstOrThrow()
          await cli('token revoke', id)
        },
      ],
      [
        'by SQL',
        (_shop, sales) =>
          gateway.services.db
            .updateTable('tokens')
            .set({ revoked_at: new Date() })
            .where('instance_id', '=', sales.id)
            .execute(),
      ],
    ]
    test.each(endings)('when its token is revoked %s', async (_how, revoke) => {
      const shop = await account()
      const sales = await shop.instance('sales')
      const revoked = read(gateway, sales.token)
      const other = read(gateway, shop.token)
      await Promise.all([revoked.received(1), other.received(1)])
      await revoke(shop, sales)
      const outcome = await revoked.ended()
      if (transport === 'SSE') {
        expect(outcome).toEqual({ kind: 'complete' })
        expect(revoked.results[1]).toEqual({
          errors: [{ message: 'Invalid token', extensions: { code: 'UNAUTHENTICATED' } }],
        })
      } else expect(outcome).toMatchObject({ kind: 'error', error: { code: 4401, reason: 'Invalid token' } })
      expect(other.outcome).toEqual({ kind: 'open' })
    })

    test('after the removals when its account is deleted', async () => {
      const shop = await account()
      await shop.instance('sales')
      await shop.instance('support')
      const reader = read(gateway, shop.token)
      await reader.received(2)
      await cli('account delete', shop.name)
      expect((await reader.received(4)).slice(2, 4).map(short)).toEqual(['REMOVED sales 0', 'REMOVED support 0'])
      const outcome = await reader.ended()
      if (transport === 'SSE') expect(reader.results[4].errors[0].extensions.code).toBe('UNAUTHENTICATED')
      else expect(outcome).toMatchObject({ error: { code: 4401 } })
    })

    test('when the gateway stops', async () => {
      const stopping = await startGatewayForTest()
      const shop = await seed(stopping.services.db).account('shop')
      await shop.instance('sales')
      const reader = read(stopping, shop.token)
      await reader.received(1)
      const startedAt = performance.now()
      await stopping.close()
      expect(performance.now() - startedAt).toBeLessThan(4_000)
      const outcome = await reader.ended()
      if (transport === 'SSE') {
        expect(outcome).toEqual({ kind: 'complete' })
        expect(reader.results[1].errors[0].extensions).toEqual({ code: 'SERVICE_UNAVAILABLE', retryAfter: 5 })
      } else expect(outcome).toMatchObject({ error: { code: 1012 } })
      expect(stopping.services.sessions.connectionTicks.size).toBe(0)
      expect(stopping.log.filter(({ msg }) => msg === 'requests that were still running were cut off')).toEqual([])
    })
  })

  describe('is limited', () => {
    test('to 20 streams of a token; one that ends makes room', async () => {
      const shop = await account()
      await shop.instance('sales')
      const readers = Array.from({ length: 20 }, () => read(gateway, shop.token))
      await Promise.all(readers.map((reader) => reader.received(1)))
      expect(await codeOfRefusal(read(gateway, shop.token))).toBe('RATE_LIMITED')
      readers[0]?.stop()
      await vi.waitFor(async () => {
        const again = read(gateway, shop.token)
        await Promise.race([again.received(1), again.ended()])
        expect(again.outcome).toEqual({ kind: 'open' })
      })
    })

    test('in what it reads with each event', async () => {
      const shop = await account()
      const many = Array.from({ length: 100 }, () => 'name').join(' ')
      const query = `subscription { connectionChanged { instance { ${many} } } }`
      expect(await codeOfRefusal(read(gateway, shop.token, query))).toBe('QUERY_TOO_COMPLEX')
    })

    test.each([
      ['two root fields', 'subscription { a: connectionChanged { kind } b: connectionChanged { kind } }'],
      ['a field that does not exist', 'subscription { nothing }'],
      ['a root field that is skipped', 'subscription { connectionChanged @skip(if: true) { kind } }'],
    ])('by validation: %s', async (_what, query) => {
      const shop = await account()
      const before = await remaining(shop.token)
      expect(await codeOfRefusal(read(gateway, shop.token, query))).toBe('GRAPHQL_VALIDATION_FAILED')
      expect(await remaining(shop.token)).toBe(before - 2)
    })

    test('as one request, and its events are free', async () => {
      const shop = await account()
      await shop.instance('sales')
      await shop.instance('support')
      const before = await remaining(shop.token)
      await read(gateway, shop.token).received(2)
      expect(await remaining(shop.token)).toBe(before - 2)
    })

    test('by the minute of its account', async () => {
      const shop = await account()
      await gateway.services.limiter.charge(`account:${shop.id}`, LIMIT)
      expect(await codeOfRefusal(read(gateway, shop.token))).toBe('RATE_LIMITED')
    })
  })

  describe('a pairing', () => {
    const PAIRING = PairingDocument.toString()
    const qr = (ordinal: number) =>
      ({ kind: 'qr', value: `2@${ordinal}`, ordinal, expiresAt: new Date(1_800_000_000_000) }) as const

    test('is told from its present step to its outcome', async () => {
      const shop = await account()
      const sales = await shop.instance('sales')
      const { sessions } = gateway.services
      const present = vi.spyOn(sessions, 'pairingStepOf').mockReturnValue(qr(1))
      onTestFinished(() => present.mockRestore())
      const reader = read(gateway, shop.token, PAIRING, { instance: { name: 'sales' } })
      await reader.received(1)
      sessions.pairingSteps.publish(sales.id, qr(2))
      await reader.received(2)
      sessions.pairingSteps.publish(sales.id, { kind: 'code', code: 'ABCD1234', expiresAt: new Date(0) })
      await reader.received(3)
      sessions.pairingSteps.publish(sales.id, { kind: 'succeeded', numberJid: '49@s.whatsapp.net' })
      expect(await reader.ended()).toEqual({ kind: 'complete' })
      expect(reader.events).toMatchObject([
        {
          __typename: 'PairingQrCode',
          value: '2@1',
          ordinal: 1,
          image: expect.stringMatching(/^data:image\/png;base64,iVBOR/),
        },
        { __typename: 'PairingQrCode', value: '2@2', ordinal: 2, expiresAt: '2027-01-15T08:00:00.000Z' },
        { __typename: 'PairingPhoneCode', code: 'ABCD1234' },
        { __typename: 'PairingSucceeded', numberJid: '49@s.whatsapp.net', instance: { name: 'sales' } },
      ])
    })

    test('waits when none runs, and ends when the instance is deleted', async () => {
      const shop = await account()
      const sales = await shop.instance('sales')
      const reader = read(gateway, shop.token, PAIRING, { instance: { id: sales.id } })
      await vi.waitFor(() => expect(gateway.services.sessions.pairingSteps.size).toBe(1))
      await remove('sales', shop.token)
      expect(await reader.ended()).toEqual({ kind: 'complete' })
      expect(reader.events).toMatchObject([
        { __typename: 'PairingFailed', reason: { code: 'INSTANCE_DELETED', nextStep: 'NONE' } },
      ])
    })

    test('of an instance that is not visible is not found', async () => {
      const [shop, neighbour] = [await account(), await account()]
      const [sales, foreign] = [await shop.instance('sales'), await neighbour.instance('foreign')]
      await shop.instance('support')
      const refs: [string, object][] = [
        [shop.token, { name: 'nobody' }],
        [shop.token, { id: foreign.id }],
        [shop.token, { name: 'foreign' }],
        [shop.token, { id: 'no id' }],
        [sales.token, { name: 'support' }],
      ]
      for (const [token, instance] of refs) {
        expect(await codeOfRefusal(read(gateway, token, PAIRING, { instance }))).toBe('INSTANCE_NOT_FOUND')
      }
    })
  })
})

test('20 streams of a token are counted over both transports', async () => {
  const shop = await account()
  await shop.instance('sales')
  const socket = connectWs(gateway, shop.token)
  const readers = Array.from({ length: 20 }, (_, index) => (index % 2 ? readSse(gateway, shop.token) : socket.read()))
  await Promise.all(readers.map((reader) => reader.received(1)))
  expect(await codeOfRefusal(readSse(gateway, shop.token))).toBe('RATE_LIMITED')
  expect(await codeOfRefusal(connectWs(gateway, shop.token).read())).toBe('RATE_LIMITED')
})

test('what happens while the snapshot is read is not lost', async () => {
  const shop = await account()
  const sales = await shop.instance('sales')
  const { db, sessions, readModel, lookUpToken } = gateway.services
  await lookUpToken(shop.token)
  const reader = await db.transaction().execute(async (transaction) => {
    await sql`lock table instances in access exclusive mode`.execute(transaction)
    // From memory it would be read at once.
    readModel.drop({ kind: 'account', accountId: shop.id })
    const waiting = readSse(gateway, shop.token)
    await vi.waitFor(() => expect(sessions.connectionTicks.size).toBe(1))
    sessions.noteCreated({ ...sales, id: randomUUID(), name: 'meanwhile' })
    return waiting
  })
  expect((await reader.received(2)).map(short)).toEqual(['SNAPSHOT sales 0', 'ADDED meanwhile 0'])
})

test('the end of a token by SQL is found with one statement for all streams, and none is asked without streams', async () => {
  const [shop, neighbour] = [await account(), await account()]
  await shop.instance('sales')
  await neighbour.instance('sales')
  const readers = [shop, shop, shop, neighbour].map(({ token }) => readSse(gateway, token))
  await Promise.all(readers.map((reader) => reader.received(1)))
  const looks = () => gateway.statements.filter((text) => /select "id" from "tokens" where id = any/.test(text)).length
  const before = looks()
  await new Promise((resolve) => setTimeout(resolve, 1_200))
  expect(looks() - before).toBeGreaterThanOrEqual(2)
  expect(looks() - before).toBeLessThanOrEqual(3)
  for (const reader of readers) reader.stop()
  await vi.waitFor(() => {
    if (gateway.services.sessions.connectionTicks.size > 0) throw new Error('A stream is left open')
  })
  const after = looks()
  await new Promise((resolve) => setTimeout(resolve, 1_200))
  expect(looks()).toBe(after)
})

test('a rotated account token ends its streams', async () => {
  const shop = await account()
  await shop.instance('sales')
  const reader = readSse(gateway, shop.token)
  await reader.received(1)
  await rotateAccountToken(gateway.services.db, shop.name)
  await reader.ended()
  expect(reader.results[1].errors[0].extensions.code).toBe('UNAUTHENTICATED')
})

test('nothing is listened to when all readers have gone', async () => {
  const { sessions } = gateway.services
  await vi.waitFor(() => expect(sessions.connectionTicks.size + sessions.pairingSteps.size).toBe(0))
})
