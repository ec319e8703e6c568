import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import type { PeerNode } from '../src/cluster/node.ts'
import { createPeerClient } from '../src/cluster/peers.ts'
import { clusterSecretsOf } from '../src/cluster/secrets.ts'
import { type BreakableProxy, startBreakableProxy } from './breakable-proxy.ts'
import { type FakeWhatsApp, startFakeWhatsApp } from './fake-whatsapp/server.ts'
import { hasOwnRedis, type OwnRedis, startOwnRedis } from './own-redis.ts'
import { type SeededAccount, seed } from './seed.ts'
import { connectWs, readSse, TRANSPORTS } from './stream-clients.ts'
import {
  createTestDatabase,
  hasPostgres,
  startGatewayForTest,
  startTestGateway,
  TEST_KEY,
  type TestGateway,
} from './testkit.ts'
import { until } from './whatsapp.ts'

const PAIRING = `subscription ($id: ID!) { pairing(instance: { id: $id }) {
  __typename ... on PairingQrCode { value } ... on PairingSucceeded { numberJid } ... on PairingFailed { reason { code } }
} }`
const CONNECTIONS = `subscription { connectionChanged {
  kind instanceId snapshotRemaining connection { state sequence reason { code } }
} }`

describe.skipIf(!hasPostgres || !hasOwnRedis)('two nodes of one deployment', () => {
  let redis: OwnRedis
  let whatsapp: FakeWhatsApp
  let database: Awaited<ReturnType<typeof createTestDatabase>>
  /** Between `owner` and Redis. */
  let wire: BreakableProxy
  let owner: TestGateway
  let other: TestGateway
  let account: SeededAccount

  beforeAll(async () => {
    ;[redis, whatsapp, database] = await Promise.all([startOwnRedis(), startFakeWhatsApp(), createTestDatabase()])
    wire = await startBreakableProxy(redis.url)
    const start = (redisUrl: string) =>
      startTestGateway({
        databaseUrl: database.url,
        redisUrl,
        nodeAddress: { host: '127.0.0.1', port: 0 },
        whatsappUrl: whatsapp.url,
      })
    owner = await start(wire.url)
    other = await start(redis.url)
    account = await seed(owner.services.db).account('shop')
    // Both have heard of each other.
    await until(
      () => [owner, other].every(({ services }) => services.sessions.peers?.list().length === 1),
      (isKnown) => isKnown,
    )
  })
  afterAll(async () => {
    await Promise.all([owner.close(), other.close()])
    await Promise.all([wire.close(), redis.close(), whatsapp.close(), database.drop()])
  })

  test('a node with a key that they do not know is not let in', async () => {
    const stranger = {
      databaseUrl: database.url,
      redisUrl: redis.url,
      nodeAddress: { host: '127.0.0.1', port: 0 },
      whatsappUrl: whatsapp.url,
      encryptionKey: Buffer.alloc(32, 201),
    }
    await expect(startTestGateway(stranger)).rejects.toThrow(/another ENCRYPTION_KEY/)
    expect(owner.services.sessions.peers?.list()).toHaveLength(1)
    const knowing = await startTestGateway({ ...stranger, previousEncryptionKey: Buffer.from(TEST_KEY, 'base64') })
    await knowing.close()
  })

  const ask = async (gateway: TestGateway, query: string) => {
    const { data, errors } = await gateway.post(query, account.token)
    if (errors) throw Object.assign(new Error(errors[0]?.message), errors[0]?.extensions)
    return data
  }
  const connectionIn = async (gateway: TestGateway, id: string) =>
    (await ask(gateway, `{ node(id: "${id}") { ... on Instance { connection { state sequence reason { code } } } } }`))
      .node.connection
  const order = async (gateway: TestGateway, field: string, id: string, more = '') =>
    (
      await ask(
        gateway,
        `mutation { ${field}(input: { instance: { id: "${id}" } ${more} }) { instance { connection { state } } } }`,
      )
    )[field].instance.connection.state

  test('a pairing whose node goes away has to be begun anew, as every node says', async () => {
    const third = await startTestGateway({
      databaseUrl: database.url,
      redisUrl: redis.url,
      nodeAddress: { host: '127.0.0.1', port: 0 },
      whatsappUrl: whatsapp.url,
    })
    const { id } = await account.instance('begun-elsewhere')
    await order(third, 'connectInstance', id)
    const isOffered = (connection: { reason: { code: string } | null }) =>
      connection.reason?.code === 'AWAITING_PAIRING'
    for (const gateway of [third, owner, other]) await until(() => connectionIn(gateway, id), isOffered)
    await third.close()
    for (const gateway of [owner, other]) {
      await until(
        () => connectionIn(gateway, id),
        ({ state, reason }) => state === 'DISCONNECTED' && reason?.code === 'NOT_PAIRED',
      )
    }
  })
  const reaches = (gateway: TestGateway, id: string, state: string) =>
    until(
      () => connectionIn(gateway, id),
      (connection) => connection.state === state,
    )

  let numbers = 15_590_000_000
  const createInstance = async () => {
    const phone = whatsapp.phone({ number: String(++numbers), name: 'Ann' })
    const { id } = await account.instance(`n${phone.number}`)
    return { id, phone }
  }
  /** An instance whose session runs on `owner`. */
  const linkOnOwner = async () => {
    const { id, phone } = await createInstance()
    // Pairings are closed until the limit that all share is counted in Redis again.
    await until(
      () => order(owner, 'connectInstance', id).catch(({ code }) => code),
      (outcome) => outcome !== 'SERVICE_UNAVAILABLE',
    )
    const { value } = await until(
      () => owner.services.sessions.pairingStepOf(id) as { kind: string; value: string },
      (step) => step?.kind === 'qr',
    )
    await phone.scan(value)
    await reaches(owner, id, 'CONNECTED')
    expect(owner.services.sessions.runs(id)).toBe(true)
    return { id, phone }
  }

  test.each(TRANSPORTS)(
    'a QR that is shown by the node that does not run the session can be scanned, over %s',
    async (_, read) => {
      const { id, phone } = await createInstance()
      const pairing = read(other, account.token, PAIRING, { id })
      await order(owner, 'connectInstance', id)
      const [qr] = await pairing.received(1)
      expect(qr).toMatchObject({ __typename: 'PairingQrCode' })
      await phone.scan(qr.value)
      await pairing.ended()
      expect(pairing.events.at(-1)).toMatchObject({ numberJid: `${phone.number}@s.whatsapp.net` })
      await reaches(other, id, 'CONNECTED')
      expect(owner.services.sessions.runs(id)).toBe(true)
      expect(other.services.sessions.runs(id)).toBe(false)
    },
  )

  test('REST and GraphQL say the same of a session wherever they are asked', async () => {
    const { id } = await linkOnOwner()
    await reaches(other, id, 'CONNECTED')
    expect(await connectionIn(other, id)).toEqual(await connectionIn(owner, id))
    const lists = await Promise.all(
      [owner, other].map(async (gateway) => (await gateway.get('/api/instance/list', account.token)).json() as any),
    )
    const statesOf = ({ instances }: any) => instances.map(({ id: found, status }: any) => [found, status])
    expect(statesOf(lists[0])).toContainEqual([id, 'connected'])
    expect(statesOf(lists[1])).toEqual(statesOf(lists[0]))
  })

  test('commands reach the owner from the other node, and answer with what is then', async () => {
    const { id } = await linkOnOwner()
    expect(await order(other, 'disconnectInstance', id)).toBe('DISCONNECTED')
    expect(await connectionIn(owner, id)).toMatchObject({ state: 'DISCONNECTED', reason: { code: 'STOPPED' } })
    expect(await order(other, 'connectInstance', id)).toBe('CONNECTING')
    await reaches(other, id, 'CONNECTED')
    expect(owner.services.sessions.runs(id)).toBe(true)
    expect(await order(other, 'logoutInstance', id)).toBe('LOGGED_OUT')
    await expect(order(other, 'reconnectInstance', id)).rejects.toMatchObject({ code: 'CONFLICT' })
  })

  test('a command that finds nothing to change gives the session an owner, and the other node says the same as that one', async () => {
    const { id } = await createInstance()
    const before = await connectionIn(other, id)
    await order(owner, 'disconnectInstance', id)
    const connection = await connectionIn(owner, id)
    expect(connection.sequence).toBeGreaterThan(before.sequence)
    expect(
      await until(
        () => connectionIn(other, id),
        ({ sequence }) => sequence === connection.sequence,
      ),
    ).toEqual(connection)
  })

  test('a session that its node has released is without a link before that node opens another one', async () => {
    const { id, phone } = await linkOnOwner()
    // Nobody answers the end of the link, which takes half a second then.
    phone.hang()
    const startedAt = performance.now()
    await owner.services.db
      .updateTable('session_owners')
      .set((eb) => ({ epoch: eb('epoch', '+', '1') }))
      .where('instance_id', '=', id)
      .execute()
    await order(owner, 'reconnectInstance', id)
    await reaches(owner, id, 'CONNECTED')
    expect(performance.now() - startedAt).toBeGreaterThan(500)
  })

  test('an instance that is deleted through the other node is gone on the owner, with its link', async () => {
    const { id, phone } = await linkOnOwner()
    const connections = readSse(owner, account.token, CONNECTIONS)
    await until(
      () => connections.events.some(({ instanceId }: any) => instanceId === id),
      (isThere) => isThere,
    )
    await ask(other, `mutation { deleteInstance(input: { instance: { id: "${id}" } }) { deletedInstanceId } }`)
    await until(
      () => connections.events.some((event: any) => event.instanceId === id && event.kind === 'REMOVED'),
      (isRemoved) => isRemoved,
    )
    await until(
      () => [owner.services.sessions.runs(id), whatsapp.live().filter(({ number }) => number === phone.number).length],
      ([runs, links]) => runs === false && links === 0,
    )
  })

  test('a state that another node has doubted is told again under a higher sequence', async () => {
    const { id } = await linkOnOwner()
    const before = await reaches(other, id, 'CONNECTED')
    const [peer] = other.services.sessions.peers?.list() ?? []
    const { bearers } = clusterSecretsOf({ current: Buffer.from(TEST_KEY, 'base64'), previous: null })
    await createPeerClient(bearers).readStates(peer as PeerNode, { from: null, accounts: {}, doubted: [id] })
    const after = await until(
      () => connectionIn(other, id),
      ({ sequence }) => sequence > before.sequence,
    )
    expect(after).toEqual({ ...before, sequence: before.sequence + 2 })
  })

  test('settings that are changed through the other node act on the running session', async () => {
    const { id, phone } = await linkOnOwner()
    await ask(
      other,
      `mutation { updateSettings(input: { instance: { id: "${id}" } patch: { autoRejectCalls: true } }) { instance { id } } }`,
    )
    const rejected = whatsapp.next('callRejected', { number: phone.number })
    const callId = phone.receiveCall({ from: '4915550001' })
    expect(await rejected).toMatchObject({ callId })
  })

  test('a stream of the other node tells of instances that come, change and go, each once and in order', async () => {
    const connections = readSse(other, account.token, CONNECTIONS)
    await connections.received(1)
    const { createInstance: created } = await ask(
      owner,
      `mutation { createInstance(input: { name: "new" }) { instance { id } } }`,
    )
    const { id } = created.instance
    const mine = () => connections.events.filter(({ instanceId }: any) => instanceId === id)
    await until(
      () => mine().length,
      (length) => length === 1,
    )
    await order(owner, 'connectInstance', id)
    await until(
      () => mine().at(-1),
      ({ connection }) => connection.reason?.code === 'AWAITING_PAIRING',
    )
    await ask(owner, `mutation { deleteInstance(input: { instance: { id: "${id}" } }) { deletedInstanceId } }`)
    await until(
      () => mine().at(-1),
      ({ kind }) => kind === 'REMOVED',
    )
    const sequences = mine().map(({ connection }: any) => connection.sequence)
    expect(sequences).toEqual(sequences.toSorted((one: number, another: number) => one - another))
    expect(mine().map(({ kind }: any) => kind)).toEqual([
      'ADDED',
      ...Array(mine().length - 2).fill('CHANGED'),
      'REMOVED',
    ])
  })

  test.each(['cut', 'hang'] as const)(
    'an owner that alone has lost Redis (%s) is asked by the other for each query, and its news come late',
    async (fault) => {
      const { id } = await linkOnOwner()
      const connections = readSse(other, account.token, CONNECTIONS)
      await connections.received(1)
      await wire[fault]()
      onTestFinished(() => wire.restore())
      await until(
        () => connections.results.at(-1),
        ({ extensions }) => extensions?.delayed === true,
      )
      expect(other.log.some(({ msg }) => String(msg).includes('the bus between the nodes is away'))).toBe(false)
      await order(owner, 'disconnectInstance', id)
      expect(await connectionIn(other, id)).toMatchObject({ state: 'DISCONNECTED' })
      await until(
        () => connections.events.findLast(({ instanceId }: any) => instanceId === id),
        ({ connection }) => connection.state === 'DISCONNECTED',
      )
      await wire.restore()
      await until(
        () => connections.results.at(-1),
        ({ extensions }) => extensions === undefined,
      )
    },
  )

  test('without Redis queries stay right on both nodes, and streams say that they are delayed and come on all the same', async () => {
    const { id } = await linkOnOwner()
    const connections = readSse(other, account.token, CONNECTIONS)
    await reaches(other, id, 'CONNECTED')
    await redis.stop()
    onTestFinished(() => redis.start().catch(() => {}))
    await until(
      () => other.services.sessions.isDelayed(),
      (isDelayed) => isDelayed,
    )
    // Without any change, and with each that comes until it is back.
    await until(
      () => connections.results.at(-1),
      ({ extensions }) => extensions?.delayed === true,
    )
    await order(owner, 'disconnectInstance', id)
    expect(await connectionIn(other, id)).toMatchObject({ state: 'DISCONNECTED' })
    const [socket] = [connectWs(other, account.token).read(CONNECTIONS)]
    await socket.received(1)
    expect(socket.results[0].extensions).toMatchObject({ delayed: true, limit: expect.any(Number) })
    await order(owner, 'connectInstance', id)
    await reaches(owner, id, 'CONNECTED')
    expect(await connectionIn(other, id)).toMatchObject({ state: 'CONNECTED' })
    const { sequence } = await connectionIn(owner, id)
    await until(
      () => connections.events.findLast(({ instanceId }: any) => instanceId === id),
      ({ connection }) => connection.sequence === sequence,
    )
    await redis.start()
    await until(
      () => other.services.sessions.isDelayed(),
      (isDelayed) => !isDelayed,
    )
    await until(
      () => connections.results.at(-1),
      ({ extensions }) => extensions === undefined,
    )
  })
})

test('a node without REDIS_URL has nobody to wait for', async () => {
  const { services } = await startGatewayForTest()
  const { id } = await seed(services.db).account('shop')
  expect(services.sessions.prepare(id)).toBeUndefined()
  expect(services.sessions.isDelayed()).toBe(false)
})
