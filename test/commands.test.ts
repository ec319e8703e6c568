import { randomUUID } from 'node:crypto'
import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { Client } from 'pg'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { migrations } from '../migrations/index.ts'
import { lockDataDir } from '../src/db/data-dir-lock.ts'
import {
  type Environment,
  type Finished,
  type GatewayProcess,
  runCli,
  startChildForTest,
  startGatewayProcess,
} from './child.ts'
import {
  copyDataDir,
  copyDataDirForTest,
  createDataDirForTest,
  createUnusablePlaceForTest,
  removeDataDir,
  UNUSABLE_PLACES,
} from './data-dir.ts'
import {
  askingForPassword,
  hangUp,
  http,
  mariadb,
  type Refusal,
  refusingLogin,
  silence,
  ssh,
  startRefusingServer,
} from './refusing-servers.ts'
import { createTempDir, createTestDatabase, hasPostgres, TEST_KEY } from './testkit.ts'

/** Where commands run, and the gateway that is to notice what they do. */
type Place = { environment: Environment; gateway: GatewayProcess | null; leave(): Promise<void> }

/** What the command that made the embedded database has said. */
let made: Finished
let template: string
const held = { DATA_DIR: '', unlock: () => {}, outcome: Promise.resolve() as Promise<unknown> }
beforeAll(async () => {
  template = createTempDir()
  made = await runCli(['migrate'], { DATA_DIR: template })
  // A command waits ten seconds for this one: it is begun here and looked at last.
  held.DATA_DIR = createTempDir()
  held.unlock = await lockDataDir(held.DATA_DIR)
  held.outcome = runCli(['account', 'list', '--json'], { DATA_DIR: held.DATA_DIR })
})
afterAll(() => {
  held.unlock()
  removeDataDir(held.DATA_DIR)
  removeDataDir(template)
})

async function embeddedAlone(): Promise<Place> {
  const DATA_DIR = copyDataDir(template)
  return { environment: { DATA_DIR }, gateway: null, leave: async () => removeDataDir(DATA_DIR) }
}

async function embeddedInUse(): Promise<Place> {
  const environment = { DATA_DIR: copyDataDir(template) }
  const gateway = await startGatewayProcess({ ...environment, DEMO: 'false' })
  const leave = async () => {
    await gateway.kill()
    removeDataDir(environment.DATA_DIR)
  }
  return { environment, gateway, leave }
}

async function postgres(): Promise<Place> {
  const { url, drop } = await createTestDatabase()
  const environment = { DATA_DIR: createTempDir(), DATABASE_URL: url }
  const gateway = await startGatewayProcess({ ...environment, ENCRYPTION_KEY: TEST_KEY })
  const leave = async () => {
    await gateway.kill()
    await drop()
    removeDataDir(environment.DATA_DIR)
  }
  return { environment, gateway, leave }
}

/** The one JSON object on stdout, when that is all there is. */
const jsonOf = ({ stdout }: Finished) => {
  expect(stdout.trim().split('\n')).toHaveLength(1)
  return JSON.parse(stdout)
}

/** A function that runs a command with --json and gives its output when it succeeds. */
const successIn =
  (environment: () => Environment) =>
  async (...command: string[]) => {
    const finished = await runCli([...command, '--json'], environment())
    expect(finished).toMatchObject({ code: 0, stderr: '' })
    return jsonOf(finished)
  }

/** The same for a command that fails; gives the error. */
const failureIn =
  (environment: () => Environment) =>
  async (...command: string[]) => {
    const finished = await runCli([...command, '--json'], environment())
    expect(finished).toMatchObject({ code: 1, stderr: '' })
    const { error, ...rest } = jsonOf(finished)
    expect(rest).toEqual({})
    expect(Object.keys(error)).toEqual(['code', 'message'])
    return error as { code: string; message: string }
  }

const ID = expect.stringMatching(/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/)
const TIME = expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/)
const ACCOUNT_TOKEN = expect.stringMatching(/^sba_[\w-]{32}$/)
const INSTANCE_TOKEN = expect.stringMatching(/^sbi_[\w-]{32}$/)

const CHOSEN_TOKEN = 'in-use-in-another-system-4711'
const REFUSED_TOKEN = {
  code: 'BAD_USER_INPUT',
  message: expect.stringMatching(/^The token cannot be used\. It has to be 8 to 256 printable ASCII characters/),
}
const UNKNOWN_ACCOUNT = {
  code: 'BAD_USER_INPUT',
  message: 'There is no account named nobody. "account list" shows those that exist',
}

/** Every test of a place needs those before it. Where each command takes a second, refusals are left to the other places. */
describe.each([
  { where: 'the embedded database', enter: embeddedAlone, possible: true, isSlow: true },
  { where: 'the embedded database of a running gateway', enter: embeddedInUse, possible: true, isSlow: false },
  { where: 'PostgreSQL', enter: postgres, possible: hasPostgres, isSlow: false },
])('on $where', ({ enter, possible, isSlow }) => {
  describe.skipIf(!possible)('in the life of an account', () => {
    let place: Place
    let shop: { id: string; name: string; token: string }
    let sales: { id: string; name: string; token: string }
    const cli = successIn(() => place.environment)
    const refused = failureIn(() => place.environment)
    const statusOf = new Map<string, number>()

    beforeAll(async () => {
      place = await enter()
    })
    afterAll(() => place.leave())

    /** Asks a gateway for the status of requests with the tokens: at once where one runs, else in the last test. */
    const expectStatus = async (status: number, ...tokens: string[]) => {
      for (const token of tokens) {
        statusOf.set(token, status)
        if (place.gateway) expect((await place.gateway.list(token)).status).toBe(status)
      }
    }

    test('account create shows its token', async () => {
      shop = await cli('account', 'create', 'shop', '--quota', '1')
      expect(shop).toEqual({ id: ID, name: 'shop', token: ACCOUNT_TOKEN })
      await expectStatus(200, shop.token)
    })

    test('instance create shows its token', async () => {
      sales = await cli('instance', 'create', 'shop', 'sales')
      expect(sales).toEqual({ id: ID, name: 'sales', token: INSTANCE_TOKEN })
      await expectStatus(200, sales.token)
    })

    test('account create takes a token of the operator, also at the same time as another command', async () => {
      const [chosen, generated] = await Promise.all([
        cli('account', 'create', 'chosen', '--token', CHOSEN_TOKEN),
        cli('account', 'create', 'generated'),
      ])
      expect(chosen).toEqual({ id: ID, name: 'chosen', token: CHOSEN_TOKEN })
      await expectStatus(200, CHOSEN_TOKEN, generated.token)
    })

    test('account list shows them', async () => {
      const { accounts } = await cli('account', 'list')
      expect(accounts).toHaveLength(3)
      expect(accounts[0]).toEqual({ id: shop.id, name: 'shop', instanceQuota: 1, createdAt: TIME })
      expect(accounts).toContainEqual({ id: ID, name: 'chosen', instanceQuota: null, createdAt: TIME })
    })

    test('instance list shows its instances', async () => {
      const instance = { id: sales.id, name: 'sales', numberJid: null, createdAt: TIME }
      expect(await cli('instance', 'list', 'shop')).toEqual({ instances: [instance] })
    })

    test.skipIf(isSlow)('what collides is refused', async () => {
      await cli('instance', 'create', 'chosen', 'sales')
      expect(await refused('account', 'create', ' shop ')).toEqual({
        code: 'CONFLICT',
        message: 'There is an account named shop already. Choose another name',
      })
      expect(await refused('instance', 'create', 'chosen', 'sales')).toEqual({
        code: 'INSTANCE_NAME_TAKEN',
        message: 'The account has an instance named sales already. Choose another name',
      })
      expect(await refused('instance', 'create', 'shop', 'second')).toEqual({
        code: 'QUOTA_EXCEEDED',
        message: 'The quota of the account is used up (1). Delete an instance, or ask the operator for more',
      })
    })

    test.skipIf(isSlow)('a token in use is refused, and nothing is made', async () => {
      expect(await refused('instance', 'create', 'chosen', 'twice', '--token', CHOSEN_TOKEN)).toMatchObject(
        REFUSED_TOKEN,
      )
      const { instances } = await cli('instance', 'list', 'chosen')
      expect(instances).toMatchObject([{ name: 'sales' }])
    })

    test('account rotate-token replaces its token', async () => {
      const old = shop
      shop = await cli('account', 'rotate-token', 'shop')
      expect(shop).toEqual({ id: old.id, name: 'shop', token: ACCOUNT_TOKEN })
      await expectStatus(401, old.token)
      await expectStatus(200, shop.token, sales.token)
    })

    test('token list shows its tokens without their values, and token revoke ends one, once', async () => {
      const { tokens } = await cli('token', 'list', 'shop')
      const token = { id: ID, label: null, createdAt: TIME, lastUsedAt: null, revokedAt: null }
      expect(tokens).toEqual([
        { ...token, kind: 'account', instance: null, revokedAt: TIME },
        { ...token, kind: 'instance', instance: 'sales' },
        { ...token, kind: 'account', instance: null },
      ])
      const { id } = tokens[1]
      const revoked = await cli('token', 'revoke', id)
      expect(revoked).toEqual({ id, revokedAt: TIME })
      expect(await cli('token', 'revoke', id)).toEqual(revoked)
      await expectStatus(401, sales.token)
      await expectStatus(200, shop.token)
    })

    test('instance delete makes room for another, and its token ends', async () => {
      expect(await cli('instance', 'delete', 'shop', 'sales')).toEqual({ id: sales.id, name: 'sales' })
      const { id, token } = await cli('instance', 'create', 'shop', 'sales')
      expect(id).not.toBe(sales.id)
      await expectStatus(200, token)
      await expectStatus(401, sales.token)
      sales = { id, name: 'sales', token }
    })

    test('account delete ends its tokens and those of its instances', async () => {
      expect(await cli('account', 'delete', 'shop')).toEqual({ id: shop.id, name: 'shop' })
      await expectStatus(401, shop.token, sales.token)
      expect(await refused('instance', 'list', 'shop')).toMatchObject({ code: 'BAD_USER_INPUT' })
    })

    test('migrate finds nothing to do', async () => {
      expect(await cli('migrate')).toEqual({ applied: [] })
    })

    test('a gateway knows in the end which tokens are alive', async () => {
      const gateway = place.gateway ?? (await startGatewayProcess(place.environment))
      const seen = new Map<string, number>()
      try {
        for (const token of statusOf.keys()) seen.set(token, (await gateway.list(token)).status)
      } finally {
        await gateway.kill()
      }
      expect(seen).toEqual(statusOf)
      expect([...seen.values()].toSorted()).toEqual([200, 200, 401, 401, 401, 401])
    })
  })
})

describe('a command', () => {
  let place: Place
  const cli = successIn(() => place.environment)
  const refused = failureIn(() => place.environment)
  beforeAll(async () => {
    place = await embeddedInUse()
    await cli('account', 'create', 'shop', '--token', CHOSEN_TOKEN)
    await cli('instance', 'create', 'shop', 'sales')
  })
  afterAll(() => place.leave())

  test.each([
    ['account', 'delete', 'nobody'],
    ['account', 'rotate-token', 'nobody'],
    ['instance', 'create', 'nobody', 'sales'],
    ['instance', 'list', 'nobody'],
    ['instance', 'delete', 'nobody', 'sales'],
    ['token', 'list', 'nobody'],
  ])('%s %s needs an account that exists', async (...command) => {
    expect(await refused(...command)).toEqual(UNKNOWN_ACCOUNT)
  })

  test('instance delete needs an instance that exists', async () => {
    expect(await refused('instance', 'delete', 'shop', 'nobody')).toEqual({
      code: 'INSTANCE_NOT_FOUND',
      message: 'The account has no instance named nobody. "instance list" shows those that exist',
    })
  })

  test.each(['nonsense', '0b9f3c56-6d0c-4c3e-9a55-0d4c7f0f2a11'])('token revoke knows no %s', async (id) => {
    expect(await refused('token', 'revoke', id)).toEqual({
      code: 'BAD_USER_INPUT',
      message: `There is no token with the id ${id}. "token list" shows the ids`,
    })
  })

  test('is told the same about a token that is weak, reserved or in use', async () => {
    const errors = [
      await refused('account', 'create', 'weak', '--token', 'short'),
      await refused('account', 'create', 'spaced', '--token', 'with a space that nobody may have here'),
      await refused('account', 'create', 'reserved', '--token', `sba_${'x'.repeat(32)}`),
      await refused('instance', 'create', 'shop', 'reserved', '--token', `sbi_${'x'.repeat(32)}`),
      await refused('account', 'create', 'duplicate', '--token', CHOSEN_TOKEN),
    ]
    for (const error of errors) expect(error).toMatchObject(REFUSED_TOKEN)
    expect(new Set(errors.map(({ message }) => message)).size).toBe(1)
  })

  test.each([
    ['account', 'create', '..'],
    ['account', 'create', 'two  spaces'],
    ['account', 'create', 'zero\u200bwidth'],
    ['instance', 'create', 'shop', 'a/b'],
    ['instance', 'create', 'shop', 'x'.repeat(101)],
  ])('cannot use a name against the rules: %s %s %j %j', async (...command) => {
    expect(await refused(...command)).toEqual({
      code: 'BAD_USER_INPUT',
      message: expect.stringMatching(/name cannot be used; it has to be 1 to 100 characters; /),
    })
  })

  test.each(['-1', '1000001'])('cannot use the quota %s', async (quota) => {
    expect(await refused('account', 'create', 'counted', `--quota=${quota}`)).toEqual({
      code: 'BAD_USER_INPUT',
      message: `--quota ${quota}: expected a whole number from 0 to 1000000`,
    })
  })

  test('finds a name however its accents and outer spaces are written', async () => {
    const composed = 'Caf\u00e9 S\u00e3o'
    const written = ` ${composed.normalize('NFD')} `
    expect(await cli('account', 'create', written)).toMatchObject({ name: composed })
    expect(await cli('instance', 'create', written, written)).toMatchObject({ name: composed })
    expect(await cli('account', 'delete', written)).toMatchObject({ name: composed })
  })

  test('deletes an instance however its accents and outer spaces are written', async () => {
    const composed = 'Caf\u00e9 S\u00e3o'
    await cli('instance', 'create', 'shop', composed)
    const deleted = await cli('instance', 'delete', 'shop', ` ${composed.normalize('NFD')} `)
    expect(deleted).toMatchObject({ name: composed })
  })

  test.each(["'; drop table accounts; --", '__proto__'])('takes %s for a name like any other', async (name) => {
    expect(await cli('account', 'create', name)).toMatchObject({ name })
    expect(await cli('account', 'delete', name)).toMatchObject({ name })
  })
})

describe('keys rotate through a running gateway', () => {
  const [KEY, NEXT_KEY] = [TEST_KEY, Buffer.alloc(32, 8).toString('base64')]
  let DATA_DIR: string
  let gateway: GatewayProcess
  beforeAll(async () => {
    DATA_DIR = copyDataDir(template)
    const keys = { ENCRYPTION_KEY: NEXT_KEY, ENCRYPTION_KEY_PREVIOUS: KEY }
    gateway = await startGatewayProcess({ DATA_DIR, DEMO: 'false', ...keys })
  })
  afterAll(async () => {
    await gateway.kill()
    removeDataDir(DATA_DIR)
  })

  test.each<[string, Record<string, string>]>([
    ['another key', { ENCRYPTION_KEY: Buffer.alloc(32, 9).toString('base64') }],
    ['the key before as the current one', { ENCRYPTION_KEY: KEY }],
    ['its key as the one before', { ENCRYPTION_KEY_PREVIOUS: NEXT_KEY }],
  ])('is refused with %s', async (_which, keys) => {
    expect(await failureIn(() => ({ DATA_DIR, ...keys }))('keys', 'rotate')).toEqual({
      code: 'CONFLICT',
      message: expect.stringMatching(/other keys.* Restart it with this ENCRYPTION_KEY/),
    })
  })

  test.each<[string, Record<string, string>]>([
    ['the same keys', { ENCRYPTION_KEY: NEXT_KEY, ENCRYPTION_KEY_PREVIOUS: KEY }],
    ['none', {}],
  ])('rotates with %s', async (_which, keys) => {
    expect(await successIn(() => ({ DATA_DIR, ...keys }))('keys', 'rotate')).toEqual({ resealed: 0 })
  })
})

describe('a command line', () => {
  const USAGE = 'Usage: npm run --silent cli -- COMMAND [--json]'

  test.each([
    [[], 'There is no command ""'],
    [['account', 'destroy', 'shop'], 'There is no command "account destroy"'],
    [['constructor'], 'There is no command "constructor"'],
    [['account', 'create'], 'Usage: account create NAME [--quota N] [--token T]'],
    [['account', 'create', 'two', 'names'], 'Usage: account create NAME [--quota N] [--token T]'],
    [['account', 'list', 'shop'], 'Usage: account list'],
    [['account', 'list', '--quota', '1'], '--quota does not belong to this command. Usage: account list'],
    [['migrate', '--quota', '1'], '--quota does not belong to this command'],
    [['migrate', 'down'], 'The arguments do not fit. Usage: migrate'],
    [['account', 'create', 'shop', '--force'], "Unknown option '--force'"],
    [['account', 'create', 'shop', '--quota'], '--quota'],
    [['node', 'list'], '"node list" is for gateways that share a PostgreSQL database, and DATABASE_URL is not set'],
    [['node', 'drain', 'one'], 'DATABASE_URL is not set'],
    [['instance', 'where', 'shop', 'sales'], 'DATABASE_URL is not set'],
  ])('%j is refused before anything is opened', async (command, message) => {
    const DATA_DIR = join(createDataDirForTest(), 'data')
    const error = await failureIn(() => ({ DATA_DIR }))(...command)
    expect(error).toEqual({ code: 'BAD_USER_INPUT', message: expect.stringContaining(message) })
    expect(existsSync(DATA_DIR)).toBe(false)
  })

  test.skipIf(!hasPostgres)('on a database that does not exist is told how to create it', async () => {
    const { url, drop } = await createTestDatabase()
    await drop()
    const name = new URL(url).pathname.slice(1)
    const environment = { DATA_DIR: createDataDirForTest(), DATABASE_URL: url }
    expect(await failureIn(() => environment)('account', 'list')).toEqual({
      code: 'SERVICE_UNAVAILABLE',
      message: expect.stringMatching(
        `^The database ${name} of DATABASE_URL does not exist\\. Create it once: createdb .*${name}$`,
      ),
    })
  })

  test.skipIf(!hasPostgres)('makes no tables where it looks for some, and those that may say where', async () => {
    const { url, drop } = await createTestDatabase('')
    onTestFinished(drop)
    const name = new URL(url).pathname.slice(1)
    const environment = { DATA_DIR: createDataDirForTest(), DATABASE_URL: url, ENCRYPTION_KEY: TEST_KEY }
    for (const command of [
      ['account', 'list'],
      ['keys', 'rotate'],
      ['node', 'list'],
    ]) {
      expect(await failureIn(() => environment)(...command)).toEqual({
        code: 'BAD_USER_INPUT',
        message: expect.stringMatching(`^The database ${name} of DATABASE_URL has no tables of Switchboard\\. Set`),
      })
    }
    const { stdout, stderr } = await runCli(['account', 'create', 'shop', '--json'], environment)
    expect(stderr).toBe(`Tables were made in the database ${name} of DATABASE_URL\n`)
    expect(JSON.parse(stdout)).toEqual({ id: ID, name: 'shop', token: ACCOUNT_TOKEN })
    expect((await runCli(['account', 'create', 'bakery'], environment)).stdout).not.toContain('Tables')
  })

  test.skipIf(!hasPostgres)('where nothing can be written is told so', async () => {
    const { url, drop } = await createTestDatabase('')
    onTestFinished(drop)
    const DATABASE_URL = `${url}?options=-c%20default_transaction_read_only%3Don`
    expect(
      await failureIn(() => ({ DATA_DIR: createDataDirForTest(), DATABASE_URL }))('account', 'create', 'x'),
    ).toEqual({
      code: 'SERVICE_UNAVAILABLE',
      message: expect.stringMatching(/^PostgreSQL takes no writes at the address .* that of the primary server there$/),
    })
  })

  test.skipIf(!hasPostgres)('on a database of somebody else is told so', async () => {
    const { url, drop } = await createTestDatabase('')
    const client = new Client({ connectionString: url })
    await client.connect()
    const role = `switchboard_test_${randomUUID().slice(0, 8)}`
    await client.query(`create role ${role} login`)
    onTestFinished(async () => {
      await client.query(`drop role ${role}`)
      await client.end()
      await drop()
    })
    const DATABASE_URL = Object.assign(new URL(url), { username: role }).href
    expect(
      await failureIn(() => ({ DATA_DIR: createDataDirForTest(), DATABASE_URL }))('account', 'create', 'x'),
    ).toEqual({
      code: 'SERVICE_UNAVAILABLE',
      message: expect.stringMatching(
        /^PostgreSQL does not let the user of DATABASE_URL do .*: permission denied for schema public\. .* its owner$/,
      ),
    })
  })

  const PASSWORD = 'hunter2'

  test.each<[string, Refusal, RegExp]>([
    ['is MariaDB', mariadb, /^DATABASE_URL does not lead to PostgreSQL: .* 127\.0\.0\.1:\d+ .*host and port$/],
    ['speaks SSH', ssh, /^DATABASE_URL does not lead to PostgreSQL: .*host and port$/],
    ['speaks HTTP', http, /^DATABASE_URL does not lead to PostgreSQL: .*host and port$/],
    ['hangs up', hangUp, /^The database of DATABASE_URL cannot be reached: what is there ends the .* host and port/],
    [
      'is silent',
      silence,
      /^The database of DATABASE_URL cannot be reached: nothing answers in time\. .* host and port/,
    ],
    [
      'refuses the password',
      refusingLogin('28P01', 'password authentication failed for user "shop"'),
      /^PostgreSQL refuses the user and the password of DATABASE_URL: it has no user shop, or .* Correct them/,
    ],
    [
      'refuses the user',
      refusingLogin('28000', 'role "shop" does not exist'),
      /^PostgreSQL refuses the user of DATABASE_URL: role "shop" does not exist\. Write another one/,
    ],
  ])(
    'whose DATABASE_URL leads to a server that %s is told what to do, without the password',
    async (_what, refuse, message) => {
      const DATABASE_URL = `postgres://shop:${PASSWORD}@127.0.0.1:${await startRefusingServer(refuse)}/shop`
      const error = await failureIn(() => ({ DATA_DIR: createDataDirForTest(), DATABASE_URL }))('account', 'list')
      expect(error).toEqual({ code: 'SERVICE_UNAVAILABLE', message: expect.stringMatching(message) })
      expect(error.message).not.toContain(PASSWORD)
    },
  )

  test('whose DATABASE_URL lacks a password that is asked for is told so', async () => {
    const DATABASE_URL = `postgres://shop@127.0.0.1:${await startRefusingServer(askingForPassword)}/shop`
    expect(await failureIn(() => ({ DATA_DIR: createDataDirForTest(), DATABASE_URL }))('account', 'list')).toEqual({
      code: 'SERVICE_UNAVAILABLE',
      message: expect.stringMatching(/^PostgreSQL asks for a password, and there is none in DATABASE_URL\. Write it/),
    })
  })

  test('that asks for help is shown every command, and succeeds', async () => {
    const { code, stdout, stderr } = await runCli(['--help'], { DATA_DIR: createDataDirForTest() })
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    expect(stdout).toContain(USAGE)
    for (const line of [
      'account create NAME',
      'account list',
      'instance delete ACCOUNT NAME',
      'token revoke ID',
      'migrate',
    ])
      expect(stdout).toContain(`\n  ${line}`)
  })

  test('beside a configuration with mistakes is told all of them and no secret', async () => {
    const DATA_DIR = createDataDirForTest()
    const environment = { DATA_DIR, DATABASE_URL: 'mysql://switchboard:hunter2@localhost', PORT: 'x', LOG_LEVEL: 'x' }
    const error = await failureIn(() => environment)('account', 'list')
    expect(error.code).toBe('BAD_USER_INPUT')
    for (const name of ['DATABASE_URL', 'PORT', 'LOG_LEVEL']) expect(error.message).toContain(`${name} `)
    expect(error.message).not.toContain('hunter2')
  })

  test('whose database is away is told so, without the password', async () => {
    const DATABASE_URL = 'postgres://switchboard:hunter2@127.0.0.1:1/switchboard'
    const error = await failureIn(() => ({ DATA_DIR: createDataDirForTest(), DATABASE_URL }))('account', 'list')
    expect(error.message).toContain('ECONNREFUSED')
    expect(error.message).not.toContain('hunter2')
  })
})

describe('for people', () => {
  let place: Place
  const run = (...command: string[]) => runCli(command, place.environment)
  beforeAll(async () => {
    place = await embeddedInUse()
    await run('account', 'create', 'shop', '--quota', '5', '--token', CHOSEN_TOKEN)
    await run('instance', 'create', 'shop', 'sales')
    await run('instance', 'create', 'shop', 'Ventas São Paulo')
  })
  afterAll(() => place.leave())

  test('what was made is a line for each fact, the token among them', async () => {
    const { code, stdout } = await run('account', 'create', 'bakery')
    expect(code).toBe(0)
    expect(stdout).toMatch(/^id: [0-9a-f-]{36}\nname: bakery\ntoken: sba_[\w-]{32}\n$/)
  })

  test('a list is a table', async () => {
    const { stdout } = await run('instance', 'list', 'shop')
    const [head = '', ...rows] = stdout.trimEnd().split('\n')
    expect(head.split(/ {2,}/)).toEqual(['id', 'name', 'numberJid', 'createdAt'])
    expect(rows.map((row) => row.split(/ {2,}/).slice(1, 3))).toEqual([
      ['sales', '-'],
      ['Ventas São Paulo', '-'],
    ])
    const columns = [head, ...rows].map((line) => line.search(/sales|Ventas|name/))
    expect(new Set(columns)).toEqual(new Set([38]))
  })

  test('an empty list says so', async () => {
    await run('account', 'create', 'empty')
    expect((await run('instance', 'list', 'empty')).stdout).toBe('(none)\n')
  })

  test('a time is one of ISO 8601, also through the gateway', async () => {
    const { stdout } = await run('account', 'list')
    expect(stdout.trimEnd().split('\n')[1]).toMatch(
      /^[0-9a-f-]{36} {2}shop +5 +\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/,
    )
  })

  test('no command but those that make a token shows one', async () => {
    const shown = [
      await run('account', 'list'),
      await run('instance', 'list', 'shop'),
      await run('token', 'list', 'shop'),
      await run('instance', 'delete', 'shop', 'sales'),
      await run('account', 'create', 'another', '--token', CHOSEN_TOKEN),
      await run('account', 'delete', 'shop'),
    ]
    expect(shown.map(({ code }) => code)).toEqual([0, 0, 0, 0, 1, 0])
    for (const { stdout, stderr } of shown) {
      expect(stdout + stderr).not.toMatch(/sb[ai]_[\w-]{8}/)
      expect(stdout + stderr).not.toContain(CHOSEN_TOKEN)
    }
    expect(place.gateway?.stderr()).not.toContain(CHOSEN_TOKEN)
  })

  test('an error is a sentence on stderr', async () => {
    expect(await run('account', 'delete', 'nobody')).toEqual({
      code: 1,
      signal: null,
      stdout: '',
      stderr: `${UNKNOWN_ACCOUNT.message}\n`,
    })
  })
})

describe('the embedded database', () => {
  test('is made by migrate, which names what it applied, also to people', () => {
    expect(made).toMatchObject({ code: 0, stderr: '' })
    expect(made.stdout).toContain(`A new database was made in DATA_DIR ${template}\n`)
    for (const name of Object.keys(migrations)) expect(made.stdout).toContain(name)
    expect(readdirSync(template)).toEqual(['postgres'])
  })

  test('is made by account create, which tells where', async () => {
    const DATA_DIR = join(createDataDirForTest(), 'new')
    const { code, stdout, stderr } = await runCli(['account', 'create', 'shop', '--json'], { DATA_DIR })
    expect({ code, stderr }).toEqual({ code: 0, stderr: `A new database was made in DATA_DIR ${DATA_DIR}\n` })
    expect(JSON.parse(stdout)).toEqual({ id: ID, name: 'shop', token: ACCOUNT_TOKEN })
    expect((await runCli(['account', 'create', 'bakery'], { DATA_DIR })).stdout).not.toContain('new database')
  })

  test.each([
    ['account', 'list'],
    ['account', 'delete', 'shop'],
    ['account', 'rotate-token', 'shop'],
    ['instance', 'create', 'shop', 'sales'],
    ['instance', 'list', 'shop'],
    ['instance', 'connect', 'shop', 'sales'],
    ['instance', 'delete', 'shop', 'sales'],
    ['token', 'list', 'shop'],
    ['token', 'revoke', '0b9f3c56-6d0c-4c3e-9a55-0d4c7f0f2a11'],
    ['keys', 'rotate'],
  ])('is not made by %s %s', async (...command) => {
    const folder = createDataDirForTest()
    for (const DATA_DIR of [folder, join(folder, 'missing')]) {
      expect(await failureIn(() => ({ DATA_DIR }))(...command)).toEqual({
        code: 'BAD_USER_INPUT',
        message: expect.stringMatching(`^There is no database in DATA_DIR ${DATA_DIR}\\. Set DATA_DIR to the folder`),
      })
    }
    expect(readdirSync(folder)).toEqual([])
  })

  test('is waited for while its gateway starts', async () => {
    const DATA_DIR = copyDataDirForTest(template)
    const gateway = startChildForTest([process.execPath, 'dist/main.js'], { DATA_DIR, PORT: '0', DEMO: 'false' })
    await expect.poll(() => readdirSync(DATA_DIR), { interval: 5, timeout: 20_000 }).toContain('gateway.lock')
    expect(readdirSync(DATA_DIR)).not.toContain('operator.sock')
    const { token } = await successIn(() => ({ DATA_DIR }))('account', 'create', 'early')
    expect(token).toEqual(ACCOUNT_TOKEN)
    await gateway.prints(/is running/)
  })

  test.each(UNUSABLE_PLACES)('that is to be in %s is refused with the reason', async (place, reason) => {
    const DATA_DIR = createUnusablePlaceForTest(place)
    expect(await failureIn(() => ({ DATA_DIR }))('account', 'create', 'shop')).toEqual({
      code: 'BAD_USER_INPUT',
      message: expect.stringMatching(reason),
    })
  })

  test('that a process holds which takes no commands is given up on, with what to do', async () => {
    const { code, stdout } = (await held.outcome) as Finished
    expect(code).toBe(1)
    expect(JSON.parse(stdout)).toEqual({
      error: {
        code: 'CONFLICT',
        message: expect.stringContaining(
          `${held.DATA_DIR} is in use by process ${process.pid}. Stop that process, or set DATA_DIR to another folder`,
        ),
      },
    })
  })
})
