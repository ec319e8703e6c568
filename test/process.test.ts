import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { cpSync, readdirSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs'
import { hostname } from 'node:os'
import { Agent, type ClientRequest, type IncomingMessage, request } from 'node:http'
import { type AddressInfo, connect, createServer } from 'node:net'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import {
  asGateway,
  type Environment,
  type GatewayProcess,
  isAlive,
  runCli,
  runGateway,
  startChildForTest,
  startGatewayProcess,
  startGatewayProcessForTest,
} from './child.ts'
import {
  copyDataDir,
  copyDataDirForTest,
  createDataDirForTest,
  createDataDirTemplate,
  createUnusablePlaceForTest,
  holderOf,
  modeOf,
  removeDataDir,
  UNUSABLE_PLACES,
} from './data-dir.ts'
import { mariadb, type Refusal, refusingLogin, startRefusingServer } from './refusing-servers.ts'
import { createTempDir, createTestDatabase, hasPostgres, TEST_KEY } from './testkit.ts'

const SAMPLES = ['sales', 'support', 'marketing', 'new-number']
const CHOSEN_TOKEN = 'a-token-that-an-operator-has-chosen'
/** What a gateway that has ended by itself leaves in its folder. */
const LEFT_IN_PEACE = ['encryption.key', 'postgres']
/** Well below the time after which requests that still run are cut off. */
const PROMPT_MS = 5_000

/** All on the embedded database, so that they run everywhere: an empty one to copy, and one with the demo to share. */
let template: string
const demo = { DATA_DIR: '', token: '' }
let held: Awaited<ReturnType<typeof stopWithEndlessRequest>>
beforeAll(async () => {
  template = await createDataDirTemplate()
  demo.DATA_DIR = copyDataDir(template)
  const gateway = await startGatewayProcess({ DATA_DIR: demo.DATA_DIR })
  demo.token = tokenIn(gateway.stdout())
  await gateway.stop()
  held = await stopWithEndlessRequest(copyDataDir(template))
})
afterAll(async () => {
  await held.gateway.kill()
  removeDataDir(template)
  removeDataDir(held.DATA_DIR)
  removeDataDir(demo.DATA_DIR)
})

const startDemo = () => startGatewayProcessForTest({ DATA_DIR: demo.DATA_DIR })

const tokenIn = (text: string) => /sba_[\w-]+/.exec(text)?.[0] ?? ''

const namesFor = async (gateway: GatewayProcess, token = demo.token) => {
  const body = (await (await gateway.list(token)).json()) as { instances: { name: string }[] }
  return body.instances.map(({ name }) => name)
}

const accountsIn = async (DATA_DIR: string) => {
  const { stdout } = await runCli(['account', 'list', '--json'], { DATA_DIR })
  return (JSON.parse(stdout) as { accounts: { name: string }[] }).accounts.map(({ name }) => name)
}

describe('a first start with nothing configured', () => {
  let gateway: GatewayProcess
  let parent: string
  let DATA_DIR: string
  beforeAll(async () => {
    parent = createTempDir()
    DATA_DIR = join(parent, 'data')
    gateway = await startGatewayProcess({ DATA_DIR })
  })
  afterAll(async () => {
    await gateway.kill()
    removeDataDir(parent)
  })

  test('names GraphiQL, a token, and a curl for REST and for GraphQL', () => {
    expect(gateway.url).toMatch(/^http:\/\/127\.0\.0\.1:\d+$/)
    expect(tokenIn(gateway.stdout())).toHaveLength(36)
    expect(bannerOf(gateway)).toEqual(welcomeOf(gateway))
  })

  test('gives a token that lists the four sample instances', async () => {
    expect(await namesFor(gateway, tokenIn(gateway.stdout()))).toEqual(SAMPLES)
  })

  test('prints commands that work when they are pasted into a shell', async () => {
    const [rest, graphql] = await Promise.all(
      commandsIn(gateway.stdout()).map((command) =>
        promisify(execFile)('sh', ['-c', command], { timeout: 10_000 }).then(({ stdout }) => JSON.parse(stdout)),
      ),
    )
    expect(rest).toMatchObject({ success: true, message: '4 Instances found' })
    expect(graphql.data.instances[0]).toEqual({
      name: 'sales',
      connection: { state: 'DISCONNECTED' },
      webhook: { url: 'https://crm.example.com/hooks/whatsapp' },
    })
  })

  test('logs JSON lines on stderr, without the token', () => {
    const lines = gateway.stderr().trim().split('\n')
    expect(lines.map((line) => JSON.parse(line).msg)).toContain('listening')
    expect(gateway.stderr()).not.toContain(tokenIn(gateway.stdout()))
  })

  test('keeps its files to its own user', () => {
    expect(modeOf(DATA_DIR)).toBe('700')
    expect(modeOf(DATA_DIR, 'encryption.key')).toBe('600')
    expect(modeOf(DATA_DIR, 'operator.sock')).toBe('600')
    expect(modeOf(DATA_DIR, 'gateway.lock')).toBe('600')
  })

  test('is followed by one that shows no token but how to get one, and keeps key and data', async () => {
    const token = tokenIn(gateway.stdout())
    const key = readFileSync(join(DATA_DIR, 'encryption.key'), 'utf8')
    expect(Buffer.from(key, 'base64')).toHaveLength(32)
    expect(await gateway.stop()).toMatchObject({ code: 0, signal: null })
    expect(readdirSync(DATA_DIR).toSorted()).toEqual(LEFT_IN_PEACE)

    gateway = await startGatewayProcess({ DATA_DIR })
    expect(gateway.stdout() + gateway.stderr()).not.toContain('sba_')
    expect(gateway.stdout()).toContain('npm run --silent cli -- account rotate-token demo')
    expect(readFileSync(join(DATA_DIR, 'encryption.key'), 'utf8')).toBe(key)
    expect(await namesFor(gateway, token)).toEqual(SAMPLES)
  })
})

/** What a first banner has to say. */
const welcomeOf = ({ url, stdout }: GatewayProcess) => {
  const token = tokenIn(stdout())
  return expect.arrayContaining([
    `GraphiQL:  ${url}/graphql`,
    `Token:     ${token}`,
    `curl -H 'token: ${token}' '${url}/api/instance/list'`,
    `curl -H 'token: ${token}' -H 'content-type: application/json' '${url}/graphql' \\`,
  ])
}
const bannerOf = ({ stdout }: GatewayProcess) =>
  stdout()
    .split('\n')
    .map((line) => line.trim())

/** The two commands of a banner, each as many lines as it has. */
const commandsIn = (banner: string) => [...banner.matchAll(/curl (?:.*\\\n)*.*/g)].map(([command]) => command)

describe('a start', () => {
  test('welcomes also when the log is silent and an operator has chosen a token as well', async () => {
    const gateway = await startGatewayProcessForTest({
      DATA_DIR: copyDataDirForTest(template),
      LOG_LEVEL: 'silent',
      BOOTSTRAP_TOKEN: CHOSEN_TOKEN,
    })
    expect(bannerOf(gateway)).toEqual(welcomeOf(gateway))
    expect(await namesFor(gateway, tokenIn(gateway.stdout()))).toEqual(SAMPLES)
    expect(await namesFor(gateway, CHOSEN_TOKEN)).toEqual([])
    expect(await gateway.stop()).toMatchObject({ code: 0 })
    expect(gateway.stderr()).toBe('')
  })

  test('with DEMO=false is empty and says how to make an account', async () => {
    const DATA_DIR = copyDataDirForTest(template)
    const gateway = await startGatewayProcessForTest({ DATA_DIR, DEMO: 'false' })
    expect(gateway.stdout()).toContain('npm run --silent cli -- account create NAME')
    expect(gateway.stdout()).not.toContain('sba_')
    expect(await accountsIn(DATA_DIR)).toEqual([])
  })

  test.each(['PORT', 'METRICS_PORT'])(
    'on a %s in use exits with 1, says so, and has begun nothing',
    async (variable) => {
      const occupant = createServer().listen(0, '127.0.0.1')
      await once(occupant, 'listening')
      onTestFinished(() => void occupant.close())
      const { port } = occupant.address() as AddressInfo
      const DATA_DIR = copyDataDirForTest(template)
      const { code, stdout, stderr } = await runGateway({ DATA_DIR, [variable]: String(port) })
      expect({ code, stdout }).toEqual({ code: 1, stdout: '' })
      expect(stderr).toMatch(
        new RegExp(
          `^Switchboard could not start: .*already in use.* 127\\.0\\.0\\.1:${port}\\. Set ${variable} to a free port$`,
          'm',
        ),
      )
      expect(stderr).not.toContain('    at ')
      expect(readdirSync(DATA_DIR)).not.toContain('gateway.lock')
      expect(await accountsIn(DATA_DIR)).toEqual([])
    },
  )

  test.each(['192.0.2.1', 'nowhere.invalid'])(
    'on a HOST %s of another machine exits with 1 and says so',
    async (HOST) => {
      const { code, stderr } = await runGateway({ DATA_DIR: copyDataDirForTest(template), HOST })
      expect(code).toBe(1)
      expect(stderr).toContain(`. This machine has no address ${HOST}. Set HOST to one of its own`)
      expect(stderr).not.toContain('    at ')
    },
  )

  test.each<[string, Refusal, string]>([
    [
      'is no PostgreSQL',
      mariadb,
      'DATABASE_URL does not lead to PostgreSQL: what is at 127\\.0\\.0\\.1:\\d+ does not answer as PostgreSQL does\\. ',
    ],
    [
      'refuses the password',
      refusingLogin('28P01', 'no'),
      'PostgreSQL refuses the user and the password of DATABASE_URL: ',
    ],
  ])('on a server that %s exits with 1 and one line, at once', async (_what, refuse, message) => {
    const startedAt = performance.now()
    const DATABASE_URL = `postgres://shop:hunter2@127.0.0.1:${await startRefusingServer(refuse)}/shop`
    const { code, stdout, stderr } = await runGateway({
      DATA_DIR: createDataDirForTest(),
      DATABASE_URL,
      ENCRYPTION_KEY: TEST_KEY,
    })
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' })
    expect(stderr).toMatch(new RegExp(`^Switchboard could not start: ${message}.*\n$`))
    expect(stderr).not.toContain('hunter2')
    expect(performance.now() - startedAt).toBeLessThan(PROMPT_MS)
  })

  test.each(UNUSABLE_PLACES)('with %s for a data folder exits with 1 and says why', async (place, reason) => {
    const DATA_DIR = createUnusablePlaceForTest(place)
    const { code, stdout, stderr } = await runGateway({ DATA_DIR })
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' })
    expect(stderr).toMatch(reason)
    expect(stderr.replace(reason, '')).toBe(
      `Switchboard could not start: DATA_DIR ${DATA_DIR} cannot be used: . Set DATA_DIR to a folder in which this user may write\n`,
    )
  })

  test.skipIf(!hasPostgres)('beside PostgreSQL does without a data folder, and so does a command', async () => {
    const { url: DATABASE_URL, drop } = await createTestDatabase()
    onTestFinished(drop)
    for (const place of ['file', '/proc/switchboard/data']) {
      const environment = { DATA_DIR: createUnusablePlaceForTest(place), DATABASE_URL, ENCRYPTION_KEY: TEST_KEY }
      const gateway = await startGatewayProcessForTest(environment)
      expect(gateway.stderr()).toContain('operator commands cannot be taken in DATA_DIR')
      expect(await runCli(['account', 'list'], environment)).toMatchObject({ code: 0, stdout: '(none)\n' })
    }
  })

  test('in a folder whose path is too long for a socket exits with 1 and says so', async () => {
    const DATA_DIR = join(createDataDirForTest(), 'long'.repeat(30))
    cpSync(template, DATA_DIR, { recursive: true })
    const { code, stderr } = await runGateway({ DATA_DIR })
    expect(code).toBe(1)
    expect(stderr).toContain(`DATA_DIR ${DATA_DIR} is too long`)
  })
})

describe('BOOTSTRAP_TOKEN', () => {
  const OTHER_TOKEN = 'another-token-that-an-operator-has-chosen'

  test('makes the account "default" on an empty database, and only then', async () => {
    const DATA_DIR = copyDataDirForTest(template)
    const first = await startGatewayProcessForTest({ DATA_DIR, DEMO: 'false', BOOTSTRAP_TOKEN: CHOSEN_TOKEN })
    expect(await accountsIn(DATA_DIR)).toEqual(['default'])
    expect(await namesFor(first, CHOSEN_TOKEN)).toEqual([])
    await first.stop()
    expect(first.stdout() + first.stderr()).not.toContain(CHOSEN_TOKEN)

    const second = await startGatewayProcessForTest({ DATA_DIR, DEMO: 'false', BOOTSTRAP_TOKEN: OTHER_TOKEN })
    expect((await second.list(OTHER_TOKEN)).status).toBe(401)
    expect((await second.list(CHOSEN_TOKEN)).status).toBe(200)
    expect(await accountsIn(DATA_DIR)).toEqual(['default'])
  })

  test('makes nothing beside another account', async () => {
    const { DATA_DIR } = demo
    const gateway = await startGatewayProcessForTest({ DATA_DIR, BOOTSTRAP_TOKEN: CHOSEN_TOKEN })
    expect((await gateway.list(CHOSEN_TOKEN)).status).toBe(401)
    expect(await accountsIn(DATA_DIR)).toEqual(['demo'])
  })
})

/** A request that the gateway has begun to handle and whose body is still to come. */
async function beginRequest(
  gateway: GatewayProcess,
  token = demo.token,
): Promise<{ request: ClientRequest; body: string }> {
  const body = '{"query":"{ instances { name } }"}'
  const headers = {
    token,
    'content-type': 'application/json',
    'content-length': body.length,
    expect: '100-continue',
  }
  const begun = request(`${gateway.url}/graphql`, { method: 'POST', headers, agent: false })
  // Those who want to know of an error listen too; the others have closed the gateway on purpose.
  begun.on('error', () => {})
  begun.flushHeaders()
  await once(begun, 'continue')
  return { request: begun, body }
}

async function finish({ request: begun, body }: Awaited<ReturnType<typeof beginRequest>>): Promise<unknown> {
  begun.end(body)
  const [response] = (await once(begun, 'response')) as [IncomingMessage]
  let text = ''
  for await (const chunk of response.setEncoding('utf8')) text += chunk
  return { status: response.statusCode, connection: response.headers.connection, body: JSON.parse(text) }
}

const FINISHED = { status: 200, connection: 'close', body: { data: { instances: SAMPLES.map((name) => ({ name })) } } }

/** Makes a request on a connection that is then kept open, with nothing running on it. */
async function keepConnectionOpen(gateway: GatewayProcess): Promise<void> {
  const agent = new Agent({ keepAlive: true })
  onTestFinished(() => agent.destroy())
  const asking = request(`${gateway.url}/health/live`, { agent }).end()
  const [response] = (await once(asking, 'response')) as [IncomingMessage]
  await once(response.resume(), 'end')
}

describe('a stop', () => {
  test('is heard from the moment the banner stands', async () => {
    const gateway = await startDemo()
    expect(await gateway.stop()).toMatchObject({ code: 0, signal: null })
  })

  test.each(['SIGTERM', 'SIGINT'] as const)(
    'by %s waits for a running request and not for a resting connection, and takes no other',
    async (signal) => {
      const gateway = await startDemo()
      await keepConnectionOpen(gateway)
      const running = await beginRequest(gateway)
      gateway.signal(signal)
      await gateway.prints(/"stopping"/)
      const isOpen = () =>
        gateway.list(demo.token).then(
          () => true,
          () => false,
        )
      await expect.poll(isOpen, { timeout: PROMPT_MS }).toBe(false)

      expect(await finish(running)).toEqual(FINISHED)
      const finishedAt = performance.now()
      expect(await gateway.exited).toEqual({ code: 0, signal: null })
      expect(performance.now() - finishedAt).toBeLessThan(PROMPT_MS)
      expect(readdirSync(demo.DATA_DIR).toSorted()).toEqual(LEFT_IN_PEACE)
    },
  )

  test('does not wait for a connection on which nothing was asked yet', async () => {
    const gateway = await startDemo()
    const socket = connect(Number(new URL(gateway.url).port), '127.0.0.1')
    onTestFinished(() => void socket.destroy())
    await once(socket, 'connect')
    // Connections are accepted in order, so the gateway has this one when it answers another.
    expect((await gateway.list(demo.token)).status).toBe(200)
    const { code, ms } = await gateway.stop()
    expect(code).toBe(0)
    expect(ms).toBeLessThan(PROMPT_MS)
  })

  test('is one stop when its signal comes twice, as Ctrl-C does from the terminal and from npm', async () => {
    const gateway = await startDemo()
    const running = await beginRequest(gateway)
    gateway.signal('SIGINT')
    await gateway.prints(/"stopping"/)
    gateway.signal('SIGINT')
    expect(await finish(running)).toEqual(FINISHED)
    expect(await gateway.exited).toEqual({ code: 0, signal: null })
  })

  test('that somebody insists on is at once, and the next start finds everything', async () => {
    const gateway = await startDemo()
    await beginRequest(gateway)
    const insisting = setInterval(() => gateway.signal('SIGINT'), 100)
    onTestFinished(() => clearInterval(insisting))
    const startedAt = performance.now()
    expect(await gateway.exited).toEqual({ code: null, signal: 'SIGINT' })
    expect(performance.now() - startedAt).toBeLessThan(PROMPT_MS)
    expect(await namesFor(await startDemo())).toEqual(SAMPLES)
  })
})

describe('a data folder', () => {
  test('is held by one gateway; a second one says what to do, and disturbs nothing', async () => {
    const { DATA_DIR } = demo
    const gateway = await startDemo()
    const { code, stdout, stderr } = await runGateway({ DATA_DIR })
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' })
    expect(stderr).toBe(
      `Switchboard could not start: The embedded database in ${DATA_DIR} is in use by process ${gateway.pid}. ` +
        'Stop that process, or set DATA_DIR to another folder, or DATABASE_URL to use PostgreSQL\n',
    )
    expect(await namesFor(gateway)).toEqual(SAMPLES)
    expect(await accountsIn(DATA_DIR)).toEqual(['demo'])
    expect(holderOf(DATA_DIR)).toBe(gateway.pid)
  })

  test('is whole after kill -9, for a command and for the next gateway', async () => {
    const { DATA_DIR } = demo
    const gateway = await startDemo()
    const { stdout } = await runCli(['account', 'create', 'made just before', '--json'], { DATA_DIR })
    expect(await gateway.stop('SIGKILL')).toMatchObject({ code: null, signal: 'SIGKILL' })
    expect(readdirSync(DATA_DIR)).toEqual(expect.arrayContaining(['gateway.lock', 'operator.sock']))

    expect(await accountsIn(DATA_DIR)).toEqual(['demo', 'made just before'])
    const next = await startDemo()
    expect(await namesFor(next)).toEqual(SAMPLES)
    expect(await namesFor(next, JSON.parse(stdout).token)).toEqual([])
    expect(await next.stop()).toMatchObject({ code: 0 })
    expect(readdirSync(DATA_DIR).toSorted()).toEqual(LEFT_IN_PEACE)
  })

  test.skipIf(process.platform !== 'linux')('is not held by a process that only has the id of its holder', async () => {
    const { DATA_DIR } = demo
    writeFileSync(join(DATA_DIR, 'gateway.lock'), `${process.pid} 1 ${hostname()} ${readlinkSync('/proc/self/ns/pid')}`)
    expect(await accountsIn(DATA_DIR)).toContain('demo')
    expect(readdirSync(DATA_DIR)).not.toContain('gateway.lock')
  })

  test('that a killed gateway has left is taken over by one of several', async () => {
    const { DATA_DIR } = demo
    await (await startDemo()).stop('SIGKILL')
    const contenders = Array.from({ length: 3 }, () =>
      startChildForTest([process.execPath, 'dist/main.js'], { DATA_DIR, PORT: '0' }),
    )
    const outcomes = await Promise.all(contenders.map((child) => child.prints(/is running|is in use by process/)))
    expect(outcomes.map(([text]) => text).toSorted()).toEqual([
      'is in use by process',
      'is in use by process',
      'is running',
    ])
  })
})

/** This takes long, so it is begun before the other tests and looked at after them. */
async function stopWithEndlessRequest(DATA_DIR: string) {
  const gateway = await startGatewayProcess({ DATA_DIR })
  const { request: endless } = await beginRequest(gateway, tokenIn(gateway.stdout()))
  return { gateway, DATA_DIR, requestFails: once(endless, 'error'), stops: gateway.stop() }
}

describe('a configuration with mistakes', () => {
  const SECRETS = { password: 'hunter2-hunter2', key: 'c2VjcmV0LWtleS10aGF0LWlzLXRvby1zaG9ydA==', token: 'weak-secret' }
  const secretsIn = (text: string) => Object.values(SECRETS).filter((secret) => text.includes(secret))

  test('is refused with all of them at once and no secret', async () => {
    const mistakes = {
      PORT: '70000',
      DATABASE_URL: `mysql://switchboard:${SECRETS.password}@localhost/switchboard`,
      ENCRYPTION_KEY: SECRETS.key,
      ENCRYPTION_KEY_PREVIOUS: SECRETS.key,
      BOOTSTRAP_TOKEN: SECRETS.token,
      DEMO: 'maybe',
      CORS_ORIGINS: '*',
      RATE_LIMIT_PER_MINUTE: '0',
      TRUST_PROXY: '-1',
      INTROSPECTION: 'yes',
      GRAPHIQL: '1',
      ALLOW_PRIVATE_ADDRESSES: 'no',
      LOG_LEVEL: 'loud',
      LOG_FORMAT: 'xml',
    }
    const DATA_DIR = createDataDirForTest()
    const { code, stdout, stderr } = await runGateway({ DATA_DIR, ...mistakes })
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' })
    const [title, ...lines] = stderr.trim().split('\n')
    expect(title).toBe('The configuration has 14 mistakes:')
    expect(lines.map((line) => line.trim().split(' ')[0])).toEqual(Object.keys(mistakes))
    for (const line of lines) expect(line).toMatch(/: expected .*\. Example: [A-Z_]+=./)
    expect(secretsIn(stderr)).toEqual([])
    expect(readdirSync(DATA_DIR)).toEqual([])
  })

  test('is refused without an ENCRYPTION_KEY beside DATABASE_URL', async () => {
    const DATABASE_URL = `postgres://switchboard:${SECRETS.password}@127.0.0.1:1/switchboard`
    const { code, stdout, stderr } = await runGateway({ DATA_DIR: createDataDirForTest(), DATABASE_URL })
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' })
    expect(stderr).toMatch(/^ {2}ENCRYPTION_KEY is not set: .*Example: ENCRYPTION_KEY=/m)
    expect(secretsIn(stderr)).toEqual([])
  })

  test.each<[string, Partial<Environment>]>([
    ['whose database is away', { DATABASE_URL: `postgres://switchboard:${SECRETS.password}@127.0.0.1:1/switchboard` }],
    ['whose password breaks the address', { DATABASE_URL: `postgres://switchboard:${SECRETS.password}@/x@:99999/y` }],
  ])('%s shows no secret, however much is logged', async (_which, environment) => {
    const { code, stdout, stderr } = await runGateway({
      DATA_DIR: createDataDirForTest(),
      ENCRYPTION_KEY: TEST_KEY,
      BOOTSTRAP_TOKEN: CHOSEN_TOKEN,
      LOG_LEVEL: 'trace',
      ...environment,
    })
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' })
    expect(stderr).toMatch(/could not start: .*ECONNREFUSED|DATABASE_URL has a value that cannot be used/)
    expect([SECRETS.password, TEST_KEY, CHOSEN_TOKEN].filter((secret) => stderr.includes(secret))).toEqual([])
  })
})

test('npm start passes SIGTERM on, so that npm and the gateway end and a running request is finished', async () => {
  const environment = {
    DATA_DIR: demo.DATA_DIR,
    PORT: '0',
    HOME: createDataDirForTest(),
    npm_config_update_notifier: 'false',
  }
  const npm = startChildForTest(['npm', 'start'], environment, { detached: true })
  const gateway = await asGateway(npm)
  const pid = holderOf(demo.DATA_DIR)
  expect(pid).not.toBe(npm.pid)
  const running = await beginRequest(gateway)
  npm.signal('SIGTERM')
  await npm.prints(/"stopping"/)
  expect(await finish(running)).toEqual(FINISHED)
  expect(await npm.exited).toEqual({ code: 0, signal: null })
  expect(isAlive(pid)).toBe(false)
})

test('a stop cuts off a request that does not end, in time for those who kill after 10 seconds', async () => {
  const { code, ms } = await held.stops
  expect(code).toBe(0)
  expect(ms).toBeGreaterThan(PROMPT_MS)
  expect(ms).toBeLessThan(10_000)
  expect(await held.requestFails).toMatchObject([{ code: 'ECONNRESET' }])
  expect(readdirSync(held.DATA_DIR).toSorted()).toEqual(LEFT_IN_PEACE)
})
