import { randomUUID } from 'node:crypto'
import { Migrator } from 'kysely'
import { Client } from 'pg'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { migrations } from '../migrations/index.ts'
import { deleteAccount } from '../src/account/actions.ts'
import { type Database, openDatabase } from '../src/db/database.ts'
import { migrateToLatest } from '../src/db/migrate.ts'
import type { DB } from '../src/db/types.ts'
import { runCli, startGatewayProcessForTest } from './child.ts'
import { createDataDirForTest } from './data-dir.ts'
import { seed } from './seed.ts'
import { silentLogger } from './silent-logger.ts'
import { createTestDatabase, hasPostgres, TEST_KEY } from './testkit.ts'

const ALL = Object.keys(migrations)

const TABLES = Object.keys({
  accounts: true,
  auth_creds: true,
  auth_keys: true,
  chatwoots: true,
  instances: true,
  nodes: true,
  proxies: true,
  s3s: true,
  session_owners: true,
  settings: true,
  tokens: true,
  webhooks: true,
  websockets: true,
} satisfies Record<keyof DB, true>)

const open = (databaseUrl: string) => openDatabase({ databaseUrl, dataDir: '', logger: silentLogger })

async function query(url: string, text: string): Promise<Record<string, unknown>[]> {
  const client = new Client({ connectionString: url })
  await client.connect()
  try {
    return (await client.query(text)).rows
  } finally {
    await client.end()
  }
}

const tablesIn = async (url: string) => {
  const rows = await query(
    url,
    `select table_schema || '.' || table_name as name from information_schema.tables
     where table_schema not in ('pg_catalog', 'information_schema') and table_name not like 'kysely_%' order by 1`,
  )
  return rows.map(({ name }) => name)
}

describe.skipIf(!hasPostgres)('migrations on PostgreSQL', () => {
  const emptyDatabase = async () => {
    const { url, drop } = await createTestDatabase('')
    onTestFinished(drop)
    return url
  }

  /** Runs as many real processes at once; gives what each has applied. */
  const migrate = async (DATABASE_URL: string, processes = 1) => {
    const environment = { DATABASE_URL, DATA_DIR: createDataDirForTest() }
    const runs = await Promise.all(Array.from({ length: processes }, () => runCli(['migrate', '--json'], environment)))
    return runs.map(({ code, stdout, stderr }) => {
      const { applied } = JSON.parse(stdout) as { applied: string[] }
      const told = applied.includes(ALL[0] ?? '')
        ? `Tables were made in the database ${new URL(DATABASE_URL).pathname.slice(1)} of DATABASE_URL\n`
        : ''
      expect({ code, stderr }).toEqual({ code: 0, stderr: told })
      return applied
    })
  }

  test('make every table of an empty database, and nothing the second time', async () => {
    const url = await emptyDatabase()
    expect(await tablesIn(url)).toEqual([])
    expect(await migrate(url)).toEqual([ALL])
    expect(await tablesIn(url)).toEqual(TABLES.map((table) => `public.${table}`))
    expect(await migrate(url)).toEqual([[]])
  })

  test.each([2, 8])('are applied once by %i processes at once', async (processes) => {
    const url = await emptyDatabase()
    const applied = await migrate(url, processes)
    expect(applied.flat()).toEqual(ALL)
    expect(await tablesIn(url)).toEqual(TABLES.map((table) => `public.${table}`))
    expect(await query(url, 'select name from kysely_migration order by name')).toEqual(ALL.map((name) => ({ name })))
  })

  test('are applied by two gateways that start at once, which make one first account', async () => {
    const environment = {
      DATABASE_URL: await emptyDatabase(),
      DATA_DIR: createDataDirForTest(),
      ENCRYPTION_KEY: TEST_KEY,
      BOOTSTRAP_TOKEN: 'a-token-that-an-operator-has-chosen',
      DEMO: 'true',
    }
    const gateways = await Promise.all([1, 2].map(() => startGatewayProcessForTest(environment)))
    for (const gateway of gateways) {
      expect((await gateway.list(environment.BOOTSTRAP_TOKEN)).status).toBe(200)
      expect(await gateway.stop()).toMatchObject({ code: 0 })
    }
    expect(await query(environment.DATABASE_URL, 'select name from accounts order by name')).toEqual([
      { name: 'default' },
      { name: 'demo' },
    ])
    expect(gateways.filter(({ stdout }) => stdout().includes('sba_'))).toHaveLength(1)
  })

  test('shut out a process of the version before owners, with what it has prepared already', async () => {
    const url = await emptyDatabase()
    const database = await open(url)
    onTestFinished(database.close)
    const migrator = new Migrator({ db: database.db, provider: { getMigrations: async () => migrations } })
    await migrator.migrateTo('2026-11-26-tell-of-changes')
    const before = new Client({ connectionString: url })
    await before.connect()
    onTestFinished(() => before.end())
    const write = {
      name: 'write',
      text: `insert into accounts (id, name) select gen_random_uuid(), $1
        where exists (select from registry_epochs where last_value = $2)`,
    }
    await before.query(`select nextval('registry_epochs')`)
    expect((await before.query({ ...write, values: ['earlier', 1] })).rowCount).toBe(1)
    await database.migrate()
    await expect(before.query({ ...write, values: ['later', 1] })).rejects.toThrow(/registry_epochs/)
  })

  test('that fail leave nothing of themselves, and say why', async () => {
    const url = await emptyDatabase()
    await query(url, 'create table settings (mine text)')
    const { code, stdout } = await runCli(['migrate', '--json'], {
      DATABASE_URL: url,
      DATA_DIR: createDataDirForTest(),
    })
    expect(code).toBe(1)
    expect(JSON.parse(stdout).error.message).toContain('relation "settings" already exists')
    expect(await tablesIn(url)).toEqual(['public.settings'])
  })
})

describe.skipIf(!hasPostgres)('the schema', () => {
  let url: string
  let drop: () => Promise<void>
  let database: Database
  beforeAll(async () => {
    ;({ url, drop } = await createTestDatabase(''))
    database = await open(url)
    await migrateToLatest(database.db)
  })
  afterAll(async () => {
    await database.close()
    await drop()
  })

  describe('refuses', () => {
    let client: Client
    const account = randomUUID()
    const instance = randomUUID()
    beforeAll(async () => {
      client = new Client({ connectionString: url })
      await client.connect()
      await client.query('insert into accounts (id, name) values ($1, $2)', [account, 'shop'])
      await client.query('insert into instances (id, account_id, name) values ($1, $2, $3)', [
        instance,
        account,
        'sales',
      ])
    })
    afterAll(() => client.end())

    const CHECK = '23514'
    const UNIQUE = '23505'
    const FOREIGN_KEY = '23503'
    const digest = `sha256('x')`
    const webhook = (columns: string, values: string) =>
      `insert into webhooks (id, instance_id, label, ${columns}) values (gen_random_uuid(), '${instance}', 'default', ${values})`
    const token = (columns: string, values: string) =>
      `insert into tokens (id, digest, ${columns}) values (gen_random_uuid(), ${digest}, ${values})`
    const other = (table: string, columns: string, values: string) =>
      `insert into ${table} (instance_id, ${columns}) values ('${instance}', ${values})`
    const named = (columns: string, values: string) =>
      `insert into instances (id, account_id, ${columns}) values (gen_random_uuid(), '${account}', ${values})`

    test.each([
      ['an enabled webhook without an address', CHECK, webhook('enabled', 'true')],
      ['an event that does not exist', CHECK, webhook('enabled, events', `false, '{message.exchange,nonsense}'`)],
      ['an event that is null', CHECK, webhook('enabled, events', `false, array['message.exchange', null]`)],
      ['an event of a websocket that does not exist', CHECK, other('websockets', 'enabled, events', `true, '{all}'`)],
      ['a token of nobody', CHECK, token('kind', `'account'`)],
      ['an instance token of nobody', CHECK, token('kind', `'instance'`)],
      [
        'a token of an account and an instance',
        CHECK,
        token('kind, account_id, instance_id', `'account', '${account}', '${instance}'`),
      ],
      ['a token of another kind than its owner', CHECK, token('kind, instance_id', `'account', '${instance}'`)],
      ['a token of an unknown kind', CHECK, token('kind', `'admin'`)],
      [
        'a digest of another length',
        CHECK,
        token('kind, account_id', `'account', '${account}'`).replace(digest, `'\\x00'`),
      ],
      [
        'a token of an account that does not exist',
        FOREIGN_KEY,
        token('kind, account_id', `'account', gen_random_uuid()`),
      ],
      ['port 0', CHECK, other('proxies', 'enabled, port', 'false, 0')],
      ['port 65536', CHECK, other('proxies', 'enabled, port', 'false, 65536')],
      ['an enabled proxy without a host', CHECK, other('proxies', 'enabled, port, protocol', `true, 1080, 'http'`)],
      ['an unknown protocol', CHECK, other('proxies', 'enabled, protocol', `false, 'ftp'`)],
      [
        'an enabled Chatwoot without a status',
        CHECK,
        other('chatwoots', 'enabled, base_url, account_id, inbox_name', `true, 'x', 1, 'y'`),
      ],
      [
        'an error of a Chatwoot that has none',
        CHECK,
        other('chatwoots', 'enabled, status, last_error', `false, 'active', 'x'`),
      ],
      ['an error of a Chatwoot without a status', CHECK, other('chatwoots', 'enabled, last_error', `false, 'x'`)],
      ['an enabled S3 without a bucket', CHECK, other('s3s', 'enabled, region', `true, 'x'`)],
      ['half of a key', CHECK, other('s3s', 'enabled, access_key_sealed', `false, 'x'`)],
      ['a name twice in an account', UNIQUE, named('name', `'sales'`)],
      ['an empty name', CHECK, named('name', `''`)],
      ['a name of 101 characters', CHECK, named('name', `repeat('x', 101)`)],
      ['a pairing without a number', CHECK, named('name, paired_at', `'x', now()`)],
      ['a number that is none', CHECK, named('name, number_jid', `'x', '+1@s.whatsapp.net'`)],
      ['a business name of no business', CHECK, named('name, business_name', `'x', 'Ltd'`)],
      ['an unknown desired state', CHECK, named('name, desired_state', `'x', 'loggedout'`)],
      ['an account name twice', UNIQUE, `insert into accounts (id, name) values (gen_random_uuid(), 'shop')`],
      ['a quota below 0', CHECK, `insert into accounts (id, name, instance_quota) values (gen_random_uuid(), 'x', -1)`],
    ])('%s', async (_what, code, statement) => {
      const outcome = await client.query(statement).then(
        () => 'accepted',
        (error) => error.code,
      )
      expect(outcome).toBe(code)
    })
  })

  test('lets the same name be used in two accounts', async () => {
    const { db } = database
    for (const name of ['ann', 'bob']) await (await seed(db).account(name)).instance('shared')
    const rows = await query(url, `select count(*)::int as count from instances where name = 'shared'`)
    expect(rows).toEqual([{ count: 2 }])
  })

  test('takes everything of an account with it, and nothing of another', async () => {
    const { db } = database
    const fill = async (name: string) => {
      const account = await seed(db).account(name)
      const instance = await account.instance('full')
      await instance.webhook()
      await instance.websocket()
      await instance.chatwoot()
      await instance.proxy()
      await instance.settings({})
      await instance.s3()
      await db
        .insertInto('auth_creds')
        .values({ instance_id: instance.id, creds_sealed: Buffer.of(1) })
        .execute()
      await db
        .insertInto('auth_keys')
        .values({ instance_id: instance.id, type: 'session', id: 'one', value_sealed: Buffer.of(1) })
        .execute()
    }
    const countRows = async () =>
      Object.fromEntries(
        await Promise.all(
          TABLES.map(async (table) => {
            const [row] = await query(url, `select count(*)::int as count from ${table}`)
            return [table, Number(row?.count)] as const
          }),
        ),
      )

    await fill('staying')
    const before = await countRows()
    await fill('leaving')
    const between = await countRows()
    // Nodes are nobody's.
    expect(TABLES.filter((table) => between[table] === before[table])).toEqual(['nodes'])
    await deleteAccount(db, 'leaving')
    expect(await countRows()).toEqual(before)
  })

  test('compares names by their bytes, whatever the language of the server', async () => {
    const columns = await query(
      url,
      `select table_name || '.' || column_name as name from information_schema.columns
       where table_schema = 'public' and column_name in ('name', 'label') and collation_name = 'C' order by 1`,
    )
    expect(columns.map(({ name }) => name)).toEqual(['accounts.name', 'instances.name', 'webhooks.label'])

    const { db } = database
    const names = ['a', 'B', 'é', 'e\u0301', 'É', 'Z', 'ß', 'SS']
    for (const name of names) await db.insertInto('accounts').values({ id: randomUUID(), name }).execute()
    const rows = await db.selectFrom('accounts').select('name').where('name', 'in', names).orderBy('name').execute()
    const byBytes = names.toSorted((one, another) => Buffer.compare(Buffer.from(one), Buffer.from(another)))
    expect(rows.map(({ name }) => name)).toEqual(byBytes)
  })
})
