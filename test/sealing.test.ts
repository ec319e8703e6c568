import { randomBytes } from 'node:crypto'
import { sql } from 'kysely'
import { describe, expect, test } from 'vitest'
import { reportUnreadable } from '../src/sealing/check.ts'
import { SEALED_COLUMNS } from '../src/sealing/columns.ts'
import { rotateKeys } from '../src/sealing/rotate.ts'
import { keyIdOf, Sealer, UnreadableSecret } from '../src/sealing/sealer.ts'
import { AuthState } from '../src/session/auth-state.ts'
import { SetProxyDocument, SetS3Document, SetWebhookDocument } from './generated/graphql.ts'
import { seed } from './seed.ts'
import { silentLogger } from './silent-logger.ts'
import { createLinkedCreds } from './stock-socket.ts'
import { hasPostgres, startGatewayForTest, TEST_KEY } from './testkit.ts'
import { until } from './whatsapp.ts'

const oldKey = Buffer.from(TEST_KEY, 'base64')
const newKey = randomBytes(32)
const place = { table: 'proxies', column: 'password_sealed', rowId: '1' }

describe('a sealed secret', () => {
  const sealer = new Sealer(oldKey, null)

  test('can be read in its place, and looks different each time', () => {
    const sealed = sealer.seal(place, 'päss🙂')
    expect(sealer.unseal(place, sealed)).toBe('päss🙂')
    expect(sealer.seal(place, 'päss🙂')).not.toEqual(sealed)
    expect(sealed.includes('päss')).toBe(false)
    expect(sealed.subarray(1, 5)).toEqual(keyIdOf(oldKey))
  })

  test('cannot be read when any of its bytes was changed', () => {
    const sealed = sealer.seal(place, 'secret')
    for (let index = 0; index < sealed.length; index++) {
      const changed = Buffer.from(sealed)
      changed[index] = (changed[index] ?? 0) ^ 1
      expect(() => sealer.unseal(place, changed)).toThrow(UnreadableSecret)
      expect(() => sealer.unseal(place, sealed.subarray(0, index))).toThrow(UnreadableSecret)
    }
  })

  test.each([{ table: 's3s' }, { column: 'authorization_sealed' }, { rowId: '2' }])(
    'cannot be read in another place: %j',
    (elsewhere) => {
      expect(() => sealer.unseal({ ...place, ...elsewhere }, sealer.seal(place, 'secret'))).toThrow(
        /changed, or comes from another row/,
      )
    },
  )

  test('of an earlier key can be read while that key is known', () => {
    const sealed = sealer.seal(place, 'secret')
    expect(new Sealer(newKey, oldKey).unseal(place, sealed)).toBe('secret')
    expect(() => new Sealer(newKey, null).unseal(place, sealed)).toThrow(/sealed with another key/)
  })
})

describe('rotating keys', () => {
  const start = async (instances: number) => {
    const gateway = await startGatewayForTest()
    const { db } = gateway.services
    const shop = await seed(db).account('shop')
    for (let index = 0; index < instances; index++) {
      const { name } = await shop.instance(`n${index}`)
      const instance = { name }
      const config = { host: 'proxy.example.com', port: 1, password: `password ${index}` }
      await gateway.graphql(SetProxyDocument, { input: { instance, config } }, shop.token)
      await gateway.graphql(
        SetWebhookDocument,
        { input: { instance, config: { url: 'https://example.com', authorization: 'Bearer x' } } },
        shop.token,
      )
      const credentials = { accessKey: 'AK', secretKey: 'SK' }
      await gateway.graphql(
        SetS3Document,
        { input: { instance, config: { region: 'r', bucket: 'media', credentials } } },
        shop.token,
      )
    }
    const passwords = () => db.selectFrom('proxies').select(['instance_id', 'password_sealed as sealed']).execute()
    return { db, passwords }
  }
  const sealer = new Sealer(newKey, oldKey)

  test('seals everything anew, in batches, and a second run finds nothing to do', async () => {
    const { db, passwords } = await start(3)
    // More rows than a batch, without the cost of as many mutations.
    await sql`insert into webhooks (id, instance_id, label, enabled) select gen_random_uuid(), (select id from instances limit 1), 'l' || n, false from generate_series(1, 250) n`.execute(
      db,
    )
    for (const { id } of await db.selectFrom('webhooks').select('id').where('label', 'like', 'l%').execute()) {
      const sealed = new Sealer(oldKey, null).seal(
        { table: 'webhooks', column: 'authorization_sealed', rowId: id },
        'Bearer y',
      )
      await db.updateTable('webhooks').set({ authorization_sealed: sealed }).where('id', '=', id).execute()
    }
    expect(await rotateKeys(db, sealer, silentLogger)).toEqual({ resealed: 250 + 3 * 4, unreadable: [] })
    expect(await rotateKeys(db, sealer, silentLogger)).toEqual({ resealed: 0, unreadable: [] })
    const onlyNew = new Sealer(newKey, null)
    const read = (await passwords()).map(({ instance_id, sealed }) =>
      onlyNew.unseal({ ...place, rowId: instance_id }, sealed ?? Buffer.alloc(0)),
    )
    expect(read.toSorted()).toEqual(['password 0', 'password 1', 'password 2'])
  })

  test('seals the auth state anew, whatever its keys are called, and it can be read with the new key alone', async () => {
    const gateway = await startGatewayForTest()
    const { db } = gateway.services
    const shop = await seed(db).account('shop')
    const stateOf = (id: string, by: Sealer) =>
      new AuthState({ db, sealer: by, logger: silentLogger, epoch: 0 }, id, createLinkedCreds('15550001'))
    // More of one type than a page has, and neighbours that a page may end between.
    const session = Object.fromEntries(Array.from({ length: 450 }, (_, index) => [`k${index}`, Buffer.from('k')]))
    const keys = { session, 'sender-key': { '120363@g.us::1:/3': Buffer.from('s'), 'Ä/ä': Buffer.from('ä') } }
    const ids = [(await shop.instance('one')).id, (await shop.instance('two')).id]
    for (const id of ids) {
      const auth = stateOf(id, new Sealer(oldKey, null))
      await auth.lendKeys().keys.set(keys)
      auth.noteChange()
      await auth.close(5_000)
    }
    expect(await rotateKeys(db, sealer, silentLogger)).toEqual({ resealed: 2 * (1 + 452), unreadable: [] })
    expect(await rotateKeys(db, sealer, silentLogger)).toEqual({ resealed: 0, unreadable: [] })

    const onlyNew = new Sealer(newKey, null)
    for (const id of ids) {
      expect(await AuthState.load({ db, sealer: onlyNew, logger: silentLogger, epoch: 0 }, id)).not.toBeNull()
      const read = stateOf(id, onlyNew).lendKeys().keys
      expect(await read.get('session', Object.keys(session))).toEqual(session)
      expect(await read.get('sender-key', Object.keys(keys['sender-key']))).toEqual(keys['sender-key'])
    }
  })

  test('looks at a bounded number of rows with each statement, also where nothing is to be done', async () => {
    const gateway = await startGatewayForTest()
    const { db } = gateway.services
    const { id } = await (await seed(db).account('shop')).instance('sales')
    const session = Object.fromEntries(Array.from({ length: 1_000 }, (_, index) => [`k${index}`, Buffer.from('k')]))
    const auth = new AuthState({ db, sealer, logger: silentLogger, epoch: 0 }, id, createLinkedCreds('15550001'))
    await auth.lendKeys().keys.set({ session })
    gateway.statements.length = 0
    expect(await rotateKeys(db, sealer, silentLogger)).toEqual({ resealed: 0, unreadable: [] })
    const pages = gateway.statements.filter((statement) => /"auth_keys".*limit/s.test(statement))
    expect(pages).toHaveLength(1_000 / 200 + 1)
  })

  test('beside writers that keep their secrets leaves none of them on the old key', async () => {
    const gateway = await startGatewayForTest()
    const { db } = gateway.services
    const shop = await seed(db).account('shop')
    const names = Array.from({ length: 20 }, (_, index) => `n${index}`)
    const set = (name: string, config: object) =>
      gateway.graphql(
        SetWebhookDocument,
        { input: { instance: { name }, config: { url: 'https://example.com', ...config } } },
        shop.token,
      )
    for (const name of names) {
      await shop.instance(name)
      await set(name, { authorization: 'Bearer x' })
    }
    const writes = names.flatMap((name) => [set(name, { mediaBase64: true }), set(name, { byEvents: true })])
    const [{ resealed }] = await Promise.all([rotateKeys(db, sealer, silentLogger), ...writes])
    expect(resealed).toBe(names.length)
    expect(await rotateKeys(db, sealer, silentLogger)).toEqual({ resealed: 0, unreadable: [] })
  })

  test.skipIf(!hasPostgres).each([
    ['writes', { a: Buffer.from('a'), Z: Buffer.from('Z') }],
    ['deletes', { a: null, Z: null }],
    ['writes and deletes', { a: Buffer.from('a'), Z: null }],
  ])('and a session that %s keys in another order do not wait for each other', async (_what, session) => {
    const gateway = await startGatewayForTest()
    const { db } = gateway.services
    const { id } = await (await seed(db).account('shop')).instance('sales')
    const auth = new AuthState({ db, sealer, logger: silentLogger, epoch: 0 }, id, createLinkedCreds('15550001'))
    const { keys } = auth.lendKeys()
    await keys.set({ session: { a: Buffer.from('old'), Z: Buffer.from('old') } })
    const areWaiting = (count: number) =>
      until(
        () =>
          sql<{ pid: number }>`select pid from pg_stat_activity
            where datname = current_database() and wait_event_type = 'Lock'`.execute(db),
        ({ rows }) => rows.length === count,
      )

    const { rotation, set } = await db.transaction().execute(async (transaction) => {
      await sql`select from auth_keys where id = 'Z' for update`.execute(transaction)
      const both = { rotation: rotateKeys(db, sealer, silentLogger), set: Promise.resolve() }
      await areWaiting(1)
      both.set = Promise.resolve(keys.set({ session }))
      await areWaiting(2)
      return both
    })
    await Promise.all([rotation, set])
    const { rows } = await sql<{ deadlocks: number }>`select pg_stat_clear_snapshot(), deadlocks::int
      from pg_stat_database where datname = current_database()`.execute(db)
    expect(rows[0]?.deadlocks).toBe(0)
  })

  test('leaves what it cannot read as it is, says where it is, and goes on', async () => {
    const { db, passwords } = await start(2)
    const [first, second] = await passwords()
    await db
      .updateTable('proxies')
      .set({ password_sealed: second?.sealed ?? null })
      .where('instance_id', '=', first?.instance_id ?? '')
      .execute()
    const { resealed, unreadable } = await rotateKeys(db, sealer, silentLogger)
    expect([resealed, unreadable]).toEqual([
      2 * 4 - 1,
      [{ table: 'proxies', column: 'password_sealed', row: first?.instance_id }],
    ])
  })
})

test('a start looks for what cannot be read everywhere but in the keys, of which there may be millions', async () => {
  const gateway = await startGatewayForTest()
  gateway.statements.length = 0
  await reportUnreadable(gateway.services.db, new Sealer(newKey, null), silentLogger)
  const looked = gateway.statements.join('\n')
  for (const { table } of SEALED_COLUMNS) {
    if (table === 'auth_keys') expect(looked).not.toContain(table)
    else expect(looked).toContain(`from "${table}"`)
  }
})

test('a rotation with nothing to do names what was tampered with or moved', async () => {
  const { services } = await startGatewayForTest()
  const { db, sealer } = services
  const shop = await seed(db).account('shop')
  const ids: string[] = []
  for (const name of ['intact', 'tampered', 'moved']) {
    const instance = await shop.instance(name)
    ids.push(instance.id)
    const sealed = sealer.seal({ ...place, rowId: name === 'moved' ? 'elsewhere' : instance.id }, 'password')
    if (name === 'tampered') sealed[20] = (sealed[20] ?? 0) ^ 1
    await instance.proxy({ password_sealed: sealed })
  }
  const { resealed, unreadable } = await rotateKeys(db, sealer, silentLogger)
  expect(resealed).toBe(0)
  expect(unreadable.map(({ row }) => row).toSorted()).toEqual(ids.slice(1).toSorted())
})

test('every sealed column of the schema is known to the rotation', async () => {
  const { services } = await startGatewayForTest()
  const { rows } = await sql<{ place: string }>`
    select table_name || '.' || column_name as place from information_schema.columns
    where table_schema = 'public' and column_name like '%sealed' order by 1`.execute(services.db)
  expect(rows.map((row) => row.place)).toEqual(
    SEALED_COLUMNS.map(({ table, column }) => `${table}.${column}`).toSorted(),
  )
})
