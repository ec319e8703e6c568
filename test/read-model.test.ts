import { randomUUID } from 'node:crypto'
import { type Kysely, type KyselyPlugin, sql } from 'kysely'
import { Client } from 'pg'
import { afterAll, beforeAll, describe, expect, onTestFinished, test, vi } from 'vitest'
import { deleteAccount } from '../src/account/actions.ts'
import type { Change, ChangeFeed } from '../src/db/change.ts'
import { PostgresChangeFeed } from '../src/db/postgres-changes.ts'
import type { DB } from '../src/db/types.ts'
import { ReadModel } from '../src/read-model/read-model.ts'
import { revokeToken } from '../src/token/actions.ts'
import { digestToken } from '../src/token/token.ts'
import { startBreakableProxy } from './breakable-proxy.ts'
import { DeleteInstanceDocument, UpdateSettingsDocument } from './generated/graphql.ts'
import { type SeededAccount, seed } from './seed.ts'
import { silentLogger } from './silent-logger.ts'
import { createTestDatabase, hasPostgres, startGatewayForTest, startTestGateway, type TestGateway } from './testkit.ts'

const NAMES = '{ instances { name settings { callRejectMessage } proxy { host } } }'

/** Within a second: what another node or a person has committed is seen by then. */
const soon = (check: () => Promise<void>) => vi.waitFor(check, { timeout: 1_000, interval: 5 })

/** What the gateway says, from memory. */
async function namesOf(gateway: TestGateway, token: string): Promise<string[]> {
  const { data, status } = await gateway.post(NAMES, token)
  return data ? data.instances.map(({ name }: { name: string }) => name) : [String(status)]
}

describe('a client reads what it has written', () => {
  test.each([
    { database: 'the embedded database', overrides: { databaseUrl: null }, rounds: 3 },
    { database: 'what the tests run on', overrides: {}, rounds: 15 },
  ])(
    'on $database, whoever else reads and writes',
    async ({ overrides, rounds }) => {
      const gateway = await startGatewayForTest(overrides)
      const shop = await seed(gateway.services.db).account('shop')
      const instances = await Promise.all(['a', 'b', 'c', 'd', 'e', 'f'].map((name) => shop.instance(name)))
      const over = new AbortController()
      const readers = [1, 2, 3].map(async () => {
        while (!over.signal.aborted) await gateway.post(NAMES, shop.token)
      })
      await Promise.all(
        instances.map(async ({ name }) => {
          for (let round = 0; round < rounds; round++) {
            const callRejectMessage = `${name} ${round}`
            const input = { instance: { name }, patch: { callRejectMessage } }
            await gateway.graphql(UpdateSettingsDocument, { input }, shop.token)
            const { data } = await gateway.post(NAMES, shop.token)
            expect(data.instances).toContainEqual(expect.objectContaining({ name, settings: { callRejectMessage } }))
            const list = await gateway.get(`/api/instance/list?instanceName=${name}`, shop.token)
            expect(await list.json()).toMatchObject({ instances: [{ settings: { callRejectMessage } }] })
          }
        }),
      )
      over.abort()
      await Promise.all(readers)
    },
    120_000,
  )

  test('since a write is over only when the memory has heard of it', async () => {
    const gateway = await startGatewayForTest()
    const { db, readModel } = gateway.services
    const { id } = await (await seed(db).account('shop')).instance('sales')
    const drop = vi.spyOn(readModel, 'drop')
    onTestFinished(() => drop.mockRestore())
    const write = (on: Kysely<DB>) =>
      on.updateTable('instances').set({ profile_name: 'Loja' }).where('id', '=', id).execute()
    for (let round = 1; round <= 20; round++) {
      await write(db)
      expect(drop).toHaveBeenCalledTimes(2 * round - 1)
      await db.transaction().execute(write)
      expect(drop).toHaveBeenCalledTimes(2 * round)
    }
  })

  test('also that an instance is gone, and its token with it', async () => {
    const gateway = await startGatewayForTest()
    const shop = await seed(gateway.services.db).account('shop')
    const { name, token } = await shop.instance('sales')
    await shop.instance('rest')
    expect(await namesOf(gateway, token)).toEqual(['sales'])
    expect(await namesOf(gateway, shop.token)).toEqual(['sales', 'rest'])
    await gateway.graphql(DeleteInstanceDocument, { input: { instance: { name } } }, shop.token)
    expect(await namesOf(gateway, shop.token)).toEqual(['rest'])
    expect(await namesOf(gateway, token)).toEqual(['401'])
  })
})

describe.skipIf(!hasPostgres)('changes from elsewhere', () => {
  let gateway: TestGateway
  let other: TestGateway
  let byHand: Client
  let shop: SeededAccount
  let database: Awaited<ReturnType<typeof createTestDatabase>>

  beforeAll(async () => {
    database = await createTestDatabase()
    gateway = await startTestGateway({ databaseUrl: database.url })
    other = await startTestGateway({ databaseUrl: database.url })
    byHand = new Client({ connectionString: database.url })
    await byHand.connect()
    shop = await seed(gateway.services.db).account('shop')
    await shop.instance('sales')
  })
  afterAll(async () => {
    await byHand.end()
    await other.close()
    await gateway.close()
    await database.drop()
  })

  const settingsOf = async (from: TestGateway, name: string) => {
    const { data } = await from.post(`{ instance(name: "${name}") { settings { callRejectMessage } } }`, shop.token)
    return data.instance.settings.callRejectMessage
  }

  test('through another gateway are seen within a second', async () => {
    expect(await settingsOf(other, 'sales')).toBe('')
    for (let round = 0; round < 20; round++) {
      const callRejectMessage = `round ${round}`
      const input = { instance: { name: 'sales' }, patch: { callRejectMessage } }
      await gateway.graphql(UpdateSettingsDocument, { input }, shop.token)
      await soon(async () => expect(await settingsOf(other, 'sales')).toBe(callRejectMessage))
    }
  })

  test.each([
    [
      'webhooks',
      `insert into webhooks (id, instance_id, label, enabled, url) values (gen_random_uuid(), $1, 'default', true, 'x')`,
    ],
    ['websockets', 'insert into websockets (instance_id, enabled) values ($1, true)'],
    [
      'chatwoots',
      `insert into chatwoots (instance_id, enabled, status, base_url, account_id, inbox_name) values ($1, true, 'active', 'x', 1, 'x')`,
    ],
    ['proxies', `insert into proxies (instance_id, enabled, host, port, protocol) values ($1, true, 'h', 1, 'http')`],
    ['settings', `insert into settings (instance_id, auto_read_messages) values ($1, true)`],
    ['s3s', `insert into s3s (instance_id, enabled, region, bucket) values ($1, true, 'r', 'b')`],
    ['instances', `update instances set profile_name = 'Loja' where id = $1`],
  ])('by hand in %s are seen within a second, in GraphQL and REST', async (table, statement) => {
    const { id, name } = await shop.instance(`by-hand-${table}`)
    const path = `/api/instance/list?instanceName=${name}`
    const query = `{ instance(name: "${name}") { profile { name } webhook { enabled } websocket { enabled }
      chatwoot { enabled } proxy { enabled } settings { autoReadMessages } s3 { enabled } } }`
    const ask = async () => [
      JSON.stringify((await gateway.post(query, shop.token)).data),
      await (await gateway.get(path, shop.token)).text(),
    ]
    const [graphql, rest] = await ask()
    await byHand.query(statement, [id])
    await soon(async () => {
      const [graphqlNow, restNow] = await ask()
      expect(graphqlNow).not.toBe(graphql)
      expect(restNow).not.toBe(rest)
    })
    if (table !== 'instances') await byHand.query(`truncate ${table}`)
    else await byHand.query('update instances set profile_name = null where id = $1', [id])
    await soon(async () => expect(await ask()).toEqual([graphql, rest]))
  })

  test('of an account, of its instances and of where they belong are seen within a second', async () => {
    const asia = await seed(gateway.services.db).account('asia')
    const { id, token } = await asia.instance('moved')
    const viewer = async (from: TestGateway) =>
      (await from.post('{ viewer { account { name instanceCount } } }', asia.token)).data.viewer.account
    expect(await viewer(other)).toEqual({ name: 'asia', instanceCount: 1 })
    expect(await namesOf(other, token)).toEqual(['moved'])
    await byHand.query(`update accounts set name = 'east' where id = $1`, [asia.id])
    await soon(async () => expect(await viewer(other)).toEqual({ name: 'east', instanceCount: 1 }))
    await byHand.query('update instances set account_id = $1 where id = $2', [shop.id, id])
    await soon(async () => expect(await viewer(other)).toEqual({ name: 'east', instanceCount: 0 }))
    expect(await namesOf(other, token)).toEqual(['moved'])
    expect(await namesOf(other, shop.token)).toContain('moved')
    await deleteAccount(gateway.services.db, 'east')
    await soon(async () => expect(await namesOf(other, asia.token)).toEqual(['401']))
    await byHand.query('delete from instances where id = $1', [id])
    await soon(async () => expect(await namesOf(other, token)).toEqual(['401']))
  })

  test('that end a token end it on every node within a second', async () => {
    const { token } = await shop.instance('revoked')
    for (const node of [gateway, other]) expect(await namesOf(node, token)).toEqual(['revoked'])
    const digest = digestToken(token)
    const { rows } = await byHand.query('select id from tokens where digest = $1', [digest])
    await revokeToken(gateway.services.db, rows[0].id)
    expect(await namesOf(gateway, token)).toEqual(['401'])
    await soon(async () => expect(await namesOf(other, token)).toEqual(['401']))
  })

  test('are told at their commit, in whatever order they were begun, and not when they are rolled back', async () => {
    const late = new Client({ connectionString: database.url })
    await late.connect()
    onTestFinished(() => late.end())
    const write = (message: string) => [
      `insert into settings (instance_id, call_reject_message) select id, '${message}' from instances where name = $1
       on conflict (instance_id) do update set call_reject_message = excluded.call_reject_message`,
      ['ordered'] as const,
    ]
    await shop.instance('ordered')
    await shop.instance('unordered')
    await late.query('begin')
    await late.query(...(write('begun first') as [string, string[]]))
    await byHand.query(`update instances set profile_name = 'x' where name = 'unordered'`)
    await namesOf(gateway, shop.token)
    expect(await settingsOf(gateway, 'ordered')).toBe('')
    await late.query('commit')
    await soon(async () => expect(await settingsOf(gateway, 'ordered')).toBe('begun first'))

    await late.query('begin')
    await late.query(...(write('never') as [string, string[]]))
    await late.query('rollback')
    gateway.statements.length = 0
    expect(await settingsOf(gateway, 'ordered')).toBe('begun first')
    expect(gateway.statements).toEqual([])
  })

  test('that touch only when a token was last used are not told', async () => {
    const listener = new Client({ connectionString: database.url })
    await listener.connect()
    onTestFinished(() => listener.end())
    const notices: (string | undefined)[] = []
    listener.on('notification', ({ payload }) => notices.push(payload))
    await listener.query('listen switchboard_changes')
    await byHand.query('update tokens set last_used_at = now()')
    await listener.query('select 1')
    expect(notices).toEqual([])
    await byHand.query('update tokens set revoked_at = revoked_at')
    await listener.query('select 1')
    expect(notices.length).toBeGreaterThan(0)
  })

  test('are not missed when the channel is lost: until it is back, reads go to the database', async () => {
    await shop.instance('lost')
    await namesOf(gateway, shop.token)
    await byHand.query(
      `select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'switchboard changes' and datname = current_database()`,
    )
    await vi.waitFor(() => expect(gateway.services.readModel.isCurrent()).toBe(false), { timeout: 1_000, interval: 1 })
    gateway.statements.length = 0
    await byHand.query(`update instances set name = 'found' where name = 'lost'`)
    expect(await namesOf(gateway, shop.token)).toContain('found')
    expect(gateway.statements).not.toEqual([])
    await vi.waitFor(() => expect(gateway.services.readModel.isCurrent()).toBe(true), { timeout: 3_000 })
    expect(await namesOf(gateway, shop.token)).toContain('found')
    gateway.statements.length = 0
    expect(await namesOf(gateway, shop.token)).toContain('found')
    expect(gateway.statements).toEqual([])
  })

  test('that do not arrive any more make the feed say so within a second, and a new connection makes up for them', async () => {
    const proxy = await startBreakableProxy(database.url)
    onTestFinished(() => proxy.close())
    const feed = await PostgresChangeFeed.open(proxy.url, silentLogger)
    onTestFinished(() => feed.close())
    const told: Change[] = []
    feed.listen((change) => told.push(change))
    expect(await feed.confirm()).toBe(true)
    proxy.hang()
    const hungAt = performance.now()
    await vi.waitFor(() => expect(feed.isCurrent()).toBe(false), { timeout: 2_000, interval: 5 })
    expect(performance.now() - hungAt).toBeLessThan(1_000)
    expect(await feed.confirm()).toBe(false)
    proxy.restoreForNewConnections()
    await vi.waitFor(() => expect(feed.isCurrent()).toBe(true), { timeout: 5_000 })
    expect(told).toEqual([{ kind: 'everything' }])
  })
})

describe('the memory', () => {
  let gateway: TestGateway
  let db: Kysely<DB>
  beforeAll(async () => {
    gateway = await startTestGateway()
    db = gateway.services.db
  })
  afterAll(() => gateway.close())

  /** A feed that tells what the test says. */
  function createFeed(): ChangeFeed & { tell(change: Change): void } {
    const listeners = new Set<(change: Change) => void>()
    return {
      isCurrent: () => true,
      confirm: async () => true,
      listen: (listener) => {
        listeners.add(listener)
        return () => void listeners.delete(listener)
      },
      catchUp: async () => {},
      close: async () => {},
      tell: (change) => listeners.forEach((listener) => listener(change)),
    }
  }

  /** Holds back what a statement has read until the gate opens. */
  function createGate(): { plugin: KyselyPlugin; open(): void; isHolding(): boolean } {
    let open = () => {}
    let holding = 0
    const opened = new Promise<void>((resolve) => {
      open = resolve
    })
    return {
      open: () => open(),
      isHolding: () => holding > 0,
      plugin: {
        transformQuery: ({ node }) => node,
        transformResult: async ({ result }) => {
          holding++
          await opened
          return result
        },
      },
    }
  }

  const MB = 2 ** 20

  test('never keeps what a reading brings back that began before a write', async () => {
    const feed = createFeed()
    const gate = createGate()
    const shop = await seed(db).account(`race ${randomUUID()}`)
    const sales = await shop.instance('before')
    await sales.proxy({ host: 'before' })
    const model = new ReadModel(db.withPlugin(gate.plugin), feed, MB)
    const account = () => {
      const rows = model.account(shop.id)
      if (!rows) throw new Error('The account is not remembered')
      return rows
    }
    const read = async () => {
      const records = await account().list()
      await account().load(records, ['proxy'])
      return records.map(({ instance, blocks }) => [instance.name, blocks.proxy?.host])
    }

    const reading = read()
    await vi.waitFor(() => expect(gate.isHolding()).toBe(true))
    await sql`update instances set name = 'after' where id = ${sales.id}`.execute(db)
    feed.tell({ kind: 'instance', accountId: shop.id, instanceId: sales.id })
    const afterwards = read()
    gate.open()
    await reading
    expect(await afterwards).toEqual([['after', 'before']])

    const records = await account().list()
    const blockGate = createGate()
    const gated = new ReadModel(db.withPlugin(blockGate.plugin), feed, MB)
    const block = gated.account(shop.id)?.load(records, ['s3'])
    await vi.waitFor(() => expect(blockGate.isHolding()).toBe(true))
    await sales.s3({ bucket: 'written meanwhile' })
    feed.tell({ kind: 'instance', accountId: shop.id, instanceId: sales.id })
    blockGate.open()
    await block
    const [fresh] = await account().list()
    await account().load(fresh ? [fresh] : [], ['s3'])
    expect(fresh?.blocks.s3?.bucket).toBe('written meanwhile')
  })

  test('never keeps a token that was looked up before it was revoked', async () => {
    const feed = createFeed()
    const gate = createGate()
    const shop = await seed(db).account(`token race ${randomUUID()}`)
    const digest = digestToken(shop.token)
    const model = new ReadModel(db.withPlugin(gate.plugin), feed, MB)
    const early = model.findToken(shop.token)
    await vi.waitFor(() => expect(gate.isHolding()).toBe(true))
    const { id } = await db.selectFrom('tokens').select('id').where('digest', '=', digest).executeTakeFirstOrThrow()
    await revokeToken(db, id)
    feed.tell({ kind: 'token', tokenId: id })
    const late = model.findToken(shop.token)
    gate.open()
    expect((await early)?.id).toBe(id)
    expect(await late).toBeUndefined()
    expect(await model.findToken(shop.token)).toBeUndefined()
  })

  test('joins readers of one thing, and asks again after a failure', async () => {
    const shop = await seed(db).account(`joined ${randomUUID()}`)
    await shop.instance('sales')
    const model = new ReadModel(db, createFeed(), MB)
    gateway.statements.length = 0
    const account = model.account(shop.id)
    const lists = await Promise.all(Array.from({ length: 20 }, async () => account?.list()))
    await Promise.all(lists.map((records) => account?.load(records ?? [], ['proxy', 's3'])))
    await Promise.all(Array.from({ length: 20 }, () => model.findToken(shop.token)))
    // Those who ask for a token while it is looked up share the next look.
    expect(gateway.statements).toHaveLength(5)

    const failing: KyselyPlugin = {
      transformQuery: ({ node }) => node,
      transformResult: () => Promise.reject(new Error('away')),
    }
    const broken = new ReadModel(db.withPlugin(failing), createFeed(), MB).account(shop.id)
    await expect(broken?.list()).rejects.toThrow('away')
    await expect(broken?.list()).rejects.toThrow('away')
    await expect(broken?.load(lists[0] ?? [], ['settings'])).rejects.toThrow('away')
    await account?.load(lists[0] ?? [], ['settings'])
    expect(lists[0]?.[0]?.has('settings')).toBe(true)
  })

  test('that is smaller than the working set gives right answers and stays small', async () => {
    const small = await startGatewayForTest({ readCacheMb: 0.1 })
    const accounts = await Promise.all(['a', 'b', 'c', 'd'].map((name) => seed(small.services.db).account(name)))
    for (const account of accounts) await account.instances(30)
    const tooLarge = await seed(small.services.db).account('too large')
    await tooLarge.instances(500)
    for (let round = 0; round < 3; round++) {
      for (const account of [...accounts, tooLarge]) {
        const count = account === tooLarge ? 500 : 30
        expect(await namesOf(small, account.token)).toHaveLength(count)
        const list = await (await small.get('/api/instance/list', account.token)).json()
        expect(list.meta.total).toBe(count)
      }
    }
    // One that can never fit is not tried with each request.
    small.statements.length = 0
    await small.post('{ instance(name: "number-00001") { name } }', tooLarge.token)
    expect(small.statements.at(-1)).toContain('name = any')
    expect(small.services.readModel.bytes).toBeLessThanOrEqual(0.1 * MB)
  })
})
