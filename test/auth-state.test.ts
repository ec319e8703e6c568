import { randomBytes } from 'node:crypto'
import { rmSync } from 'node:fs'
import { setTimeout } from 'node:timers/promises'
import { proto, type SignalDataTypeMap } from '@whiskeysockets/baileys'
import { sql } from 'kysely'
import { pino } from 'pino'
import { Writable } from 'node:stream'
import { afterAll, afterEach, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { openDatabase } from '../src/db/database.ts'
import { migrateToLatest } from '../src/db/migrate.ts'
import { Sealer } from '../src/sealing/sealer.ts'
import { AuthState } from '../src/session/auth-state.ts'
import { startBreakableProxy } from './breakable-proxy.ts'
import { type SeededAccount, seed } from './seed.ts'
import { createLinkedCreds } from './stock-socket.ts'
import { createTempDir, createTestDatabase, hasPostgres, TEST_KEY } from './testkit.ts'
import { createNumber, startStage, until } from './whatsapp.ts'

const sealer = new Sealer(Buffer.from(TEST_KEY, 'base64'), null)

/** A database, and what auth states are made with on it. `afterStatement` may hold a statement's answer back. */
async function openPlace(databaseUrl: string | null) {
  const dataDir = createTempDir()
  const place = {
    statements: [] as string[],
    log: [] as string[],
    afterStatement: undefined as ((statement: string) => Promise<void> | undefined) | undefined,
  }
  const sink = new Writable({
    write: (line, _encoding, done) => {
      place.log.push(JSON.parse(String(line)).msg)
      done()
    },
  })
  const logger = pino({ level: 'debug' }, sink)
  const { db, close } = await openDatabase({
    databaseUrl,
    dataDir,
    logger,
    onStatement: ({ query }) => {
      place.statements.push(query.sql)
      return place.afterStatement?.(query.sql)
    },
  })
  await migrateToLatest(db)
  const account: SeededAccount = await seed(db).account('shop')
  const services = { db, sealer, logger, epoch: 0 }
  let instances = 0
  return Object.assign(place, {
    db,
    services,
    /** The auth state of a device that is linked to an instance of its own; `reload` is what a restart reads. */
    link: async () => {
      const { id } = await account.instance(`n${++instances}`)
      const auth = new AuthState(services, id, createLinkedCreds('15550001'))
      onTestFinished(() => auth.discard())
      return { id, auth, keys: auth.lendKeys().keys, reload: () => reload(id) }
    },
    create: async () => {
      const { id } = await account.instance(`n${++instances}`)
      return { id, auth: await AuthState.create(services, id) }
    },
    rows: (id: string) => db.selectFrom('auth_keys').selectAll().where('instance_id', '=', id).execute(),
    credsOf: (id: string) => db.selectFrom('auth_creds').selectAll().where('instance_id', '=', id).executeTakeFirst(),
    /** Takes a table away for as long as a function runs. */
    without: async (table: 'auth_keys' | 'auth_creds', work: () => Promise<void>) => {
      await sql`alter table ${sql.table(table)} rename to away`.execute(db)
      try {
        await work()
      } finally {
        await sql`alter table away rename to ${sql.table(table)}`.execute(db)
      }
    },
    close: async () => {
      await close()
      rmSync(dataDir, { recursive: true, force: true })
    },
  })

  async function reload(id: string) {
    const auth = await AuthState.load(services, id)
    if (!auth) throw new Error('There are no credentials')
    onTestFinished(() => auth.discard())
    return auth
  }
}
type Place = Awaited<ReturnType<typeof openPlace>>

const keyPair = () => ({ public: randomBytes(32), private: randomBytes(32) })

/** A value of each type, under ids with all the characters that there are in ids. */
const EVERY_TYPE: { [Type in keyof SignalDataTypeMap]: Record<string, SignalDataTypeMap[Type]> } = {
  'pre-key': { 1: keyPair(), 812: keyPair() },
  session: { '15550001_1.0': randomBytes(200), '15550001_1.45': randomBytes(1) },
  'sender-key': { '120363@g.us::15550001::3': randomBytes(300) },
  'sender-key-memory': { '120363@g.us': { '15550001:3@s.whatsapp.net': true, '15550002:0@lid': false } },
  'app-state-sync-key': {
    'AAAAAO+/=': proto.Message.AppStateSyncKeyData.fromObject({
      keyData: randomBytes(32),
      fingerprint: { rawId: 1, currentIndex: 2, deviceIndexes: [0, 3] },
      timestamp: 1_700_000_000_000,
    }),
  },
  'app-state-sync-version': {
    critical_block: { version: 3, hash: randomBytes(128), indexValueMap: { 'a+/=': { valueMac: randomBytes(32) } } },
  },
  'lid-mapping': { '15550001': '100000015550001', '100000015550001_reverse': '15550001' },
  'device-list': { '15550001': ['0', '3', '45'], '15550002': [] },
  tctoken: { '15550001@s.whatsapp.net': { token: randomBytes(16), timestamp: '1700000000' } },
  'identity-key': { '15550001.0': randomBytes(33) },
}

const load = async (auth: AuthState, type: keyof SignalDataTypeMap, ids: string[]) =>
  (await auth.lendKeys().keys.get(type, ids)) as Record<string, unknown>

const writesOf = ({ statements }: Place, table: string) =>
  statements.filter((statement) => new RegExp(`(insert into|delete from) "?${table}`).test(statement))

const wait = (ms: number) => setTimeout(ms)

describe.each([
  { database: 'the embedded database', isHere: true, isEmbedded: true },
  { database: 'PostgreSQL', isHere: hasPostgres, isEmbedded: false },
])('on $database', ({ isHere, isEmbedded }) => {
  describe.skipIf(!isHere)('the auth state', () => {
    let place: Place
    let drop = async () => {}
    beforeAll(async () => {
      const database = isEmbedded ? null : await createTestDatabase()
      if (database) drop = database.drop
      place = await openPlace(database?.url ?? null)
    })
    afterEach(() => {
      place.afterStatement = undefined
    })
    afterAll(async () => {
      await place.close()
      await drop()
    })

    describe('of keys', () => {
      test('comes back as it was, of every type, from memory and after a restart', async () => {
        const { auth, keys, reload } = await place.link()
        await keys.set(EVERY_TYPE)
        auth.noteChange()
        await auth.close(5_000)
        const restarted = await reload()
        for (const type of Object.keys(EVERY_TYPE) as (keyof SignalDataTypeMap)[]) {
          const ids = Object.keys(EVERY_TYPE[type])
          expect(await load(auth, type, ids)).toEqual(EVERY_TYPE[type])
          expect(await load(restarted, type, ids)).toEqual(EVERY_TYPE[type])
        }
      })

      test('has Buffers where Signal insists on them, and a message where app state does', async () => {
        const { keys } = await place.link()
        await keys.set({ ...EVERY_TYPE, session: { plain: new Uint8Array([1, 2, 3]) } })
        const { plain } = await keys.get('session', ['plain'])
        expect(plain).toBeInstanceOf(Buffer)
        expect((await keys.get('pre-key', ['1']))['1']?.private).toBeInstanceOf(Buffer)
        const [key] = Object.values(await keys.get('app-state-sync-key', ['AAAAAO+/=']))
        expect(key).toBeInstanceOf(proto.Message.AppStateSyncKeyData)
      })

      test('leaves out what is not there, and tells ids, types and instances apart', async () => {
        const { keys } = await place.link()
        const other = await place.link()
        await keys.set({ session: { a: Buffer.from('a') }, 'sender-key': { b: Buffer.from('b') } })
        expect(await keys.get('session', ['a', 'b', 'A', 'a '])).toEqual({ a: Buffer.from('a') })
        expect(await keys.get('session', [])).toEqual({})
        expect(await other.keys.get('session', ['a'])).toEqual({})
      })

      test('deletes what is set to null, beside what is written', async () => {
        const { id, keys } = await place.link()
        await keys.set({ session: { a: Buffer.from('a'), b: Buffer.from('b') } })
        await keys.set({ session: { a: null, c: Buffer.from('c'), nobody: null } })
        expect(await keys.get('session', ['a', 'b', 'c'])).toEqual({ b: Buffer.from('b'), c: Buffer.from('c') })
        expect((await place.rows(id)).map((row) => row.id).toSorted()).toEqual(['b', 'c'])
      })

      test('writes the first 812 in one statement, each of them sealed in its place', async () => {
        const { id, keys } = await place.link()
        const preKeys = Object.fromEntries(Array.from({ length: 812 }, (_, index) => [String(index + 1), keyPair()]))
        place.statements.length = 0
        await keys.set({ 'pre-key': preKeys })
        expect(writesOf(place, 'auth_keys')).toHaveLength(1)
        const rows = await place.rows(id)
        expect(rows).toHaveLength(812)
        for (const { type, id: keyId, value_sealed } of rows) {
          const secret = sealer.unseal(
            { table: 'auth_keys', column: 'value_sealed', rowId: `${id}/${type}/${keyId}` },
            value_sealed,
          )
          expect(secret).toContain(preKeys[keyId]?.private.toString('base64'))
        }
      })

      test('writes all of a set or nothing of it', async () => {
        const { id, keys } = await place.link()
        await keys.set({ session: { a: Buffer.from('old') } })
        // No id has a NUL, so that the deletion fails after the rest was written.
        await expect(keys.set({ session: { a: Buffer.from('new') }, 'sender-key': { 'b\0': null } })).rejects.toThrow(
          /./,
        )
        expect(await place.rows(id)).toHaveLength(1)
        expect(await keys.get('session', ['a'])).toEqual({ a: Buffer.from('old') })
      })

      test('throws when it cannot be read, and does not call that missing', async () => {
        const { id, keys } = await place.link()
        await keys.set({ session: { a: Buffer.from('a') } })
        const fresh = new AuthState(place.services, id, createLinkedCreds('15550001')).lendKeys().keys
        await place.without('auth_keys', async () => {
          await expect(fresh.get('session', ['a'])).rejects.toThrow(/./)
        })
        expect(await fresh.get('session', ['a'])).toEqual({ a: Buffer.from('a') })
      })

      test.each([
        ['changed', (sealed: Buffer) => Buffer.concat([sealed.subarray(0, -1), Buffer.of((sealed.at(-1) ?? 0) ^ 1)])],
        ['cut', (sealed: Buffer) => sealed.subarray(0, -3)],
        ['empty', () => Buffer.alloc(0)],
      ])('throws for a row that was %s', async (_what, tamper) => {
        const { id, keys } = await place.link()
        await keys.set({ session: { a: Buffer.from('a') } })
        const [row] = await place.rows(id)
        const value_sealed = tamper(row?.value_sealed ?? Buffer.alloc(0))
        await place.db.updateTable('auth_keys').set({ value_sealed }).where('instance_id', '=', id).execute()
        const fresh = new AuthState(place.services, id, createLinkedCreds('15550001'))
        await expect(load(fresh, 'session', ['a'])).rejects.toThrow(/cannot be read/)
      })

      test('throws for a row that comes from another key, type or instance', async () => {
        const one = await place.link()
        const other = await place.link()
        await one.keys.set({
          session: { a: Buffer.from('a'), b: Buffer.from('b') },
          'sender-key': { a: Buffer.from('s') },
        })
        await other.keys.set({ session: { a: Buffer.from('other') } })
        const sealedOf = async (id: string, type: string, key: string) =>
          (await place.rows(id)).find((row) => row.type === type && row.id === key)?.value_sealed ?? Buffer.alloc(0)
        const strangers = [
          await sealedOf(one.id, 'session', 'b'),
          await sealedOf(one.id, 'sender-key', 'a'),
          await sealedOf(other.id, 'session', 'a'),
        ]
        for (const value_sealed of strangers) {
          await place.db
            .updateTable('auth_keys')
            .set({ value_sealed })
            .where('instance_id', '=', one.id)
            .where('type', '=', 'session')
            .where('id', '=', 'a')
            .execute()
          const fresh = new AuthState(place.services, one.id, createLinkedCreds('15550001'))
          await expect(load(fresh, 'session', ['a'])).rejects.toThrow(/cannot be read/)
        }
      })

      test('gives objects of its own: what Baileys does to them is not kept', async () => {
        const { keys } = await place.link()
        const given = { version: 1, hash: Buffer.from('hash'), indexValueMap: {} }
        await keys.set({ 'app-state-sync-version': { a: given } })
        given.version = 2
        const { a: first } = await keys.get('app-state-sync-version', ['a'])
        expect(first?.version).toBe(1)
        Object.assign(first ?? {}, { version: 3 })
        first?.hash.fill(0)
        expect((await keys.get('app-state-sync-version', ['a'])).a).toMatchObject({
          version: 1,
          hash: Buffer.from('hash'),
        })
      })

      test('is kept in memory, in bounds of number and of size', async () => {
        const { keys } = await place.link()
        const readsOf = async (ids: string[]) => {
          place.statements.length = 0
          expect(Object.keys(await keys.get('session', ids))).toEqual(ids)
          return place.statements.length
        }
        const many = Object.fromEntries(Array.from({ length: 1_000 }, (_, index) => [`k${index}`, Buffer.from('k')]))
        await keys.set({ session: many })
        expect(await readsOf(['k999', 'k900'])).toBe(0)
        expect(await readsOf(['k0'])).toBe(1)
        expect(await readsOf(['k0'])).toBe(0)

        const big = Object.fromEntries(Array.from({ length: 10 }, (_, index) => [`b${index}`, randomBytes(12_000)]))
        await keys.set({ session: big })
        expect(await readsOf(['b9'])).toBe(0)
        expect(await readsOf(['b0'])).toBe(1)
      })

      test('is written in the order in which it was given, and read after it', async () => {
        const { id, keys } = await place.link()
        const sets = Array.from({ length: 40 }, (_, index) => keys.set({ session: { a: Buffer.from(String(index)) } }))
        expect(await keys.get('session', ['a'])).toEqual({ a: Buffer.from('39') })
        await Promise.all(sets)
        const fresh = new AuthState(place.services, id, createLinkedCreds('15550001'))
        expect(await load(fresh, 'session', ['a'])).toEqual({ a: Buffer.from('39') })
      })

      test.skipIf(isEmbedded)('does not keep what was read while it was being written', async () => {
        const { id, keys } = await place.link()
        await keys.set({ session: { a: Buffer.from('old'), gone: Buffer.from('old') } })
        const fresh = new AuthState(place.services, id, createLinkedCreds('15550001')).lendKeys().keys
        // The answer to the read is held back until the write is done.
        let written: Promise<void> | undefined
        place.afterStatement = (statement) => {
          if (!/^select .*"auth_keys"/.test(statement) || written) return undefined
          written = Promise.resolve(fresh.set({ session: { a: Buffer.from('new'), gone: null } }))
          return written
        }
        await fresh.get('session', ['a', 'gone'])
        await written
        expect(await fresh.get('session', ['a', 'gone'])).toEqual({ a: Buffer.from('new') })
      })

      test('is refused to a socket that is closed, and given to the next one', async () => {
        const { auth } = await place.link()
        const { keys, takeBack } = auth.lendKeys()
        await keys.set({ session: { a: Buffer.from('a') } })
        takeBack()
        await expect(keys.get('session', ['a'])).rejects.toThrow(/closed/)
        await expect(keys.set({ session: { a: null } })).rejects.toThrow(/closed/)
        expect(await load(auth, 'session', ['a'])).toEqual({ a: Buffer.from('a') })
      })
    })

    describe('of credentials', () => {
      test('comes back as it was', async () => {
        const { auth, reload } = await place.link()
        auth.creds.nextPreKeyId = 813
        auth.creds.routingInfo = Buffer.from('routing')
        auth.noteChange()
        await auth.close(5_000)
        const { creds, isPaired } = await reload()
        expect(isPaired).toBe(true)
        expect(creds).toEqual(auth.creds)
        expect(creds.noiseKey.private).toBeInstanceOf(Buffer)
        expect(creds.routingInfo).toEqual(Buffer.from('routing'))
      })

      test('is null when there is none, and throws when it was changed, moved, or cannot be read', async () => {
        const one = await place.link()
        const other = await place.link()
        expect(await AuthState.load(place.services, one.id)).toBeNull()
        for (const { auth } of [one, other]) {
          auth.noteChange()
          await auth.idle()
        }
        await place.without('auth_creds', async () => {
          await expect(AuthState.load(place.services, one.id)).rejects.toThrow(/./)
        })
        await sql`update auth_creds set creds_sealed = (select creds_sealed from auth_creds where instance_id = ${other.id})
          where instance_id = ${one.id}`.execute(place.db)
        await expect(AuthState.load(place.services, one.id)).rejects.toThrow(/cannot be read/)
        expect(await AuthState.load(place.services, other.id)).not.toBeNull()
      })

      test('is not written before a phone has accepted the device, also when a code was asked for', async () => {
        const { id, auth } = await place.create()
        auth.noteChange()
        // What Baileys does when a code is asked for.
        auth.creds.me = { id: '15550001@s.whatsapp.net', name: '~' }
        auth.creds.pairingCode = 'ABCD1234'
        auth.noteChange()
        expect(await auth.close(5_000)).toBe(true)
        expect(auth.isPaired).toBe(false)
        expect(await place.credsOf(id)).toBeUndefined()
      })

      test('is written once for many changes, as it is at last', async () => {
        const { auth, reload } = await place.link()
        place.statements.length = 0
        for (let index = 1; index <= 100; index++) {
          auth.creds.nextPreKeyId = index
          auth.noteChange()
        }
        await auth.close(5_000)
        expect(writesOf(place, 'auth_creds').length).toBeLessThanOrEqual(2)
        expect((await reload()).creds.nextPreKeyId).toBe(100)
      })

      test('that changes while it is written is written again', async () => {
        const { auth, reload } = await place.link()
        let writes = 0
        place.afterStatement = (statement) => {
          if (statement.includes('insert into auth_creds') && ++writes === 1) {
            auth.creds.nextPreKeyId = 500
            auth.noteChange()
          }
          return undefined
        }
        auth.noteChange()
        await auth.close(5_000)
        expect(writes).toBe(2)
        expect((await reload()).creds.nextPreKeyId).toBe(500)
      })

      test('is handed to a writer as it is when its turn comes', async () => {
        const { id, auth } = await place.link()
        let release = () => {}
        const first = auth.writeCreds(() => new Promise<void>((resolve) => (release = resolve)))
        let handed: Buffer | undefined
        const second = auth.writeCreds(async (sealed) => void (handed = sealed))
        // Time enough to be sealed too early.
        await wait(20)
        auth.creds.nextPreKeyId = 77
        expect(handed).toBeUndefined()
        release()
        await Promise.all([first, second])
        const text = sealer.unseal(
          { table: 'auth_creds', column: 'creds_sealed', rowId: id },
          handed ?? Buffer.alloc(0),
        )
        expect(JSON.parse(text).nextPreKeyId).toBe(77)
      })

      test('that could not be written is written when it can be, by one writer', async () => {
        const { auth, reload } = await place.link()
        place.log.length = 0
        await place.without('auth_creds', async () => {
          for (let index = 1; index <= 20; index++) {
            auth.creds.nextPreKeyId = index
            auth.noteChange()
            await wait(10)
          }
          await until(
            () => place.log,
            (log) => log.includes('credentials could not be written yet'),
          )
          // Each try of a single writer.
          expect(place.log.length).toBeLessThanOrEqual(2)
          place.statements.length = 0
        })
        expect(await auth.close(5_000)).toBe(true)
        expect(writesOf(place, 'auth_creds')).toHaveLength(1)
        expect((await reload()).creds.nextPreKeyId).toBe(20)
      })

      test('is given up on by a close that has waited long enough, which says so', async () => {
        const { auth } = await place.link()
        await place.without('auth_creds', async () => {
          auth.noteChange()
          const startedAt = performance.now()
          expect(await auth.close(300)).toBe(false)
          expect(performance.now() - startedAt).toBeLessThan(1_500)
        })
      })

      test('is not written any more once it is closed', async () => {
        const { id, auth, keys } = await place.link()
        expect(await auth.close(1_000)).toBe(true)
        auth.noteChange()
        await auth.idle()
        expect(await place.credsOf(id)).toBeUndefined()
        await expect(keys.set({ session: { a: Buffer.from('a') } })).rejects.toThrow(/closed/)
        await expect(auth.writeCreds(async () => undefined)).rejects.toThrow(/closed/)
        expect(await place.rows(id)).toEqual([])
      })

      test('of a pairing that is over is not written again by what was on its way', async () => {
        const { id, auth, keys } = await place.link()
        auth.noteChange()
        const set = Promise.resolve(keys.set({ session: { a: Buffer.from('a') } })).catch(() => undefined)
        await auth.discard()
        const written = { creds: await place.credsOf(id), keys: await place.rows(id) }
        await set
        await wait(100)
        expect({ creds: await place.credsOf(id), keys: await place.rows(id) }).toEqual(written)
      })
    })
  })
})

describe.skipIf(!hasPostgres)('while the database is away', () => {
  test('reads and writes of keys fail, and go on when it is back; credentials are not lost', async () => {
    const database = await createTestDatabase()
    const proxy = await startBreakableProxy(database.url)
    const place = await openPlace(proxy.url)
    onTestFinished(async () => {
      await place.close()
      await proxy.close()
      await database.drop()
    })
    const { id, auth, keys, reload } = await place.link()
    await keys.set({ session: { a: Buffer.from('a'), b: Buffer.from('b') } })
    const fresh = new AuthState(place.services, id, auth.creds).lendKeys().keys

    await proxy.cut()
    await expect(keys.set({ session: { a: Buffer.from('new') } })).rejects.toThrow(/./)
    await expect(fresh.get('session', ['b'])).rejects.toThrow(/./)
    // In memory it is what it was, but for what may have been written.
    expect(await keys.get('session', ['b'])).toEqual({ b: Buffer.from('b') })
    await expect(keys.get('session', ['a'])).rejects.toThrow(/./)
    auth.creds.nextPreKeyId = 321
    auth.noteChange()
    await until(
      () => place.log,
      (log) => log.includes('credentials could not be written yet'),
    )

    await proxy.restore()
    expect(await keys.get('session', ['a'])).toEqual({ a: Buffer.from('a') })
    await keys.set({ session: { a: Buffer.from('new') } })
    expect(await fresh.get('session', ['a', 'b'])).toEqual({ a: Buffer.from('new'), b: Buffer.from('b') })
    expect(await auth.close(5_000)).toBe(true)
    expect((await reload()).creds.nextPreKeyId).toBe(321)
  })
})

describe('what is kept of a pairing', () => {
  let stage: Awaited<ReturnType<typeof startStage>>
  beforeAll(async () => {
    stage = await startStage()
  })
  afterAll(() => stage.close())

  const kept = async (id: string) => {
    const { db } = stage.gateway.services
    const creds = await db.selectFrom('auth_creds').select('instance_id').where('instance_id', '=', id).execute()
    const keys = await db.selectFrom('auth_keys').select('id').where('instance_id', '=', id).execute()
    return { creds: creds.length, keys: keys.length }
  }
  const keepsEverything = async (id: string) => {
    const { creds, keys } = await kept(id)
    expect(creds).toBe(1)
    expect(keys).toBeGreaterThan(0)
  }

  test.each([400, 402, 403, 405, 411, 440, 500, 503])('stays when WhatsApp refuses a login with %i', async (reason) => {
    const number = await createNumber(stage)
    await number.link()
    await until(
      () => kept(number.instance.id),
      ({ keys }) => keys > 0,
    )
    await number.disconnect()
    number.phone.fail({ kind: 'failure', reason }, 1)
    await number.connect()
    await until(number.status, ({ reason: why }) => why !== null && why.code !== 'OPENING')
    await number.disconnect()
    // Whatever would be deleted is by then.
    await wait(100)
    await keepsEverything(number.instance.id)
  })

  test('stays when the device is replaced, dropped, and disconnected', async () => {
    const number = await createNumber(stage)
    await number.link()
    await until(
      () => kept(number.instance.id),
      ({ keys }) => keys > 0,
    )
    number.phone.drop()
    await until(number.status, ({ state }) => state !== 'connected')
    await number.reaches('connected')
    await keepsEverything(number.instance.id)
    number.phone.replace()
    await number.reaches('connecting', 'REPLACED')
    await number.reaches('connected')
    await keepsEverything(number.instance.id)
    number.phone.replace()
    await number.reaches('disconnected', 'REPLACED')
    await keepsEverything(number.instance.id)
    await number.disconnect()
    await keepsEverything(number.instance.id)
  })

  test('is deleted when WhatsApp says that the device is logged out', async () => {
    const number = await createNumber(stage)
    await number.link()
    number.phone.unlink()
    await number.reaches('loggedout')
    await until(
      () => kept(number.instance.id),
      ({ creds, keys }) => creds + keys === 0,
    )
    // Nothing that was on its way comes after it.
    await wait(200)
    expect(await kept(number.instance.id)).toEqual({ creds: 0, keys: 0 })
  })
})
