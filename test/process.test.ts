import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { Agent, type ClientRequest, type IncomingMessage, request } from 'node:http'
import { type AddressInfo, connect, createServer } from 'node:net'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import {
  asGateway,
  type Environment,
  type GatewayProcess,
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
  holderOf,
  modeOf,
  removeDataDir,
} from './data-dir.ts'
import { createTempDir, TEST_KEY } from './testkit.ts'

/** All on the embedded database, so that they run everywhere. */
const SAMPLES = ['sales', 'support', 'marketing', 'new-number']

let template: string
beforeAll(async () => {
  template = await createDataDirTemplate()
})
afterAll(() => removeDataDir(template))

const namesFor = async (gateway: GatewayProcess, token: string) => {
  const body = (await (await gateway.list(token)).json()) as { instances: { name: string }[] }
  return body.instances.map(({ name }) => name)
}

const accountsIn = async (DATA_DIR: string) => {
  const { stdout } = await runCli(['account', 'list', '--json'], { DATA_DIR })
  return (JSON.parse(stdout) as { accounts: { name: string }[] }).accounts.map(({ name }) => name)
}

const tokenIn = (text: string) => /sba_[\w-]+/.exec(text)?.[0] ?? ''

describe('a first start with nothing configured', () => {
  let gateway: GatewayProcess
  const DATA_DIR = createTempDir()
  beforeAll(async () => {
    gateway = await startGatewayProcess({ DATA_DIR })
  })
  afterAll(async () => {
    await gateway.kill()
    removeDataDir(DATA_DIR)
  })

  test('names GraphiQL, a token, and a curl for REST and for GraphQL', () => expectWelcome(gateway))

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
    expect(readdirSync(DATA_DIR).toSorted()).toEqual(['encryption.key', 'postgres'])

    gateway = await startGatewayProcess({ DATA_DIR })
    expect(gateway.stdout() + gateway.stderr()).not.toContain('sba_')
    expect(gateway.stdout()).toContain('npm run --silent cli -- account rotate-token demo')
    expect(readFileSync(join(DATA_DIR, 'encryption.key'), 'utf8')).toBe(key)
    expect(await namesFor(gateway, token)).toEqual(SAMPLES)
  })
})

/** What a first banner has to say. */
function expectWelcome(gateway: GatewayProcess) {
  const { url } = gateway
  expect(url).toMatch(/^http:\/\/127\.0\.0\.1:\d+$/)
  expect(gateway.stdout()).toContain(`GraphiQL:  ${url}/graphql`)
  const token = tokenIn(gateway.stdout())
  expect(token).toHaveLength(36)
  expect(gateway.stdout()).toContain(`Token:     ${token}`)
  const [rest, graphql] = commandsIn(gateway.stdout())
  expect(rest).toBe(`curl -H 'token: ${token}' '${url}/api/instance/list'`)
  expect(graphql).toContain(`curl -H 'token: ${token}' -H 'content-type: application/json' '${url}/graphql'`)
}

/** The two commands of a banner, each as many lines as it has. */
const commandsIn = (banner: string) => [...banner.matchAll(/curl (?:.*\\\n)*.*/g)].map(([command]) => command)

describe('a start', () => {
  test('welcomes also when the log is silent', async () => {
    const gateway = await startGatewayProcessForTest({ DATA_DIR: copyDataDirForTest(template), LOG_LEVEL: 'silent' })
    expectWelcome(gateway)
    expect(await namesFor(gateway, tokenIn(gateway.stdout()))).toEqual(SAMPLES)
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

  test('keeps the key from others also when its folder is open to them', async () => {
    const DATA_DIR = copyDataDirForTest(template)
    chmodSync(DATA_DIR, 0o755)
    await startGatewayProcessForTest({ DATA_DIR })
    expect(modeOf(DATA_DIR, 'encryption.key')).toBe('600')
    expect(modeOf(DATA_DIR, 'operator.sock')).toBe('600')
  })

  test('refuses a kept key that is damaged, and leaves it as it is', async () => {
    const DATA_DIR = copyDataDirForTest(template)
    const path = join(DATA_DIR, 'encryption.key')
    writeFileSync(path, 'c2hvcnQ=\n')
    const { code, stdout, stderr } = await runGateway({ DATA_DIR })
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' })
    expect(stderr).toContain(`${path} does not hold 32 bytes in base64. Restore it from a backup`)
    expect(readFileSync(path, 'utf8')).toBe('c2hvcnQ=\n')
  })

  test('on a port in use exits with 1 and says so', async () => {
    const occupant = createServer().listen(0, '127.0.0.1')
    await once(occupant, 'listening')
    onTestFinished(() => void occupant.close())
    const { port } = occupant.address() as AddressInfo
    const DATA_DIR = copyDataDirForTest(template)
    const { code, stdout, stderr } = await runGateway({ DATA_DIR, PORT: String(port) })
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' })
    expect(stderr).toMatch(new RegExp(`^Switchboard could not start: .*already in use.* 127\\.0\\.0\\.1:${port}$`, 'm'))
    expect(stderr).not.toContain('    at ')
    expect(readdirSync(DATA_DIR)).not.toContain('gateway.lock')
  })

  test('in a folder whose path is too long for a socket exits with 1 and says so', async () => {
    const DATA_DIR = join(copyDataDirForTest(template), 'long'.repeat(30))
    const { code, stderr } = await runGateway({ DATA_DIR })
    expect(code).toBe(1)
    expect(stderr).toContain(`DATA_DIR ${DATA_DIR} is too long`)
  })
})

describe('BOOTSTRAP_TOKEN', () => {
  const TOKEN = 'a-token-that-an-operator-has-chosen-1'
  const OTHER = 'a-token-that-an-operator-has-chosen-2'

  test('makes the account "default" on an empty database, and only then', async () => {
    const DATA_DIR = copyDataDirForTest(template)
    const first = await startGatewayProcessForTest({ DATA_DIR, DEMO: 'false', BOOTSTRAP_TOKEN: TOKEN })
    expect(await accountsIn(DATA_DIR)).toEqual(['default'])
    expect(await namesFor(first, TOKEN)).toEqual([])
    await first.stop()
    expect(first.stdout() + first.stderr()).not.toContain(TOKEN)

    const second = await startGatewayProcessForTest({ DATA_DIR, DEMO: 'false', BOOTSTRAP_TOKEN: OTHER })
    expect((await second.list(OTHER)).status).toBe(401)
    expect((await second.list(TOKEN)).status).toBe(200)
    expect(await accountsIn(DATA_DIR)).toEqual(['default'])
  })

  test('makes nothing beside an account that an operator has made', async () => {
    const DATA_DIR = copyDataDirForTest(template)
    await runCli(['account', 'create', 'shop'], { DATA_DIR })
    const gateway = await startGatewayProcessForTest({ DATA_DIR, DEMO: 'false', BOOTSTRAP_TOKEN: TOKEN })
    expect((await gateway.list(TOKEN)).status).toBe(401)
    expect(await accountsIn(DATA_DIR)).toEqual(['shop'])
  })

  test('stands beside the demo', async () => {
    const DATA_DIR = copyDataDirForTest(template)
    const gateway = await startGatewayProcessForTest({ DATA_DIR, BOOTSTRAP_TOKEN: TOKEN })
    expect(await namesFor(gateway, TOKEN)).toEqual([])
    expect(await namesFor(gateway, tokenIn(gateway.stdout()))).toEqual(SAMPLES)
  })
})

/** A request that the gateway has begun to handle and whose body is still to come. */
async function beginRequest(gateway: GatewayProcess, token: string): Promise<{ request: ClientRequest; body: string }> {
  const body = '{"query":"{ instances { name } }"}'
  const headers = { token, 'content-type': 'application/json', 'content-length': body.length, expect: '100-continue' }
  const begun = request(`${gateway.url}/graphql`, { method: 'POST', headers, agent: false })
  onTestFinished(() => void begun.destroy())
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

const FINISHED = {
  status: 200,
  connection: 'close',
  body: { data: { instances: SAMPLES.map((name) => ({ name })) } },
}

const startDemo = async (DATA_DIR = copyDataDirForTest(template)) => {
  const gateway = await startGatewayProcessForTest({ DATA_DIR })
  return { gateway, token: tokenIn(gateway.stdout()), DATA_DIR }
}

describe.each(['SIGTERM', 'SIGINT'] as const)('%s', (signal) => {
  test('ends it, also while a connection rests', async () => {
    const { gateway, token, DATA_DIR } = await startDemo()
    const agent = new Agent({ keepAlive: true })
    onTestFinished(() => agent.destroy())
    const [response] = await once(
      request(`${gateway.url}/api/instance/list`, { agent, headers: { token } }).end(),
      'response',
    )
    await once(response.resume(), 'end')

    const { code, signal: killer, ms } = await gateway.stop(signal)
    expect({ code, killer }).toEqual({ code: 0, killer: null })
    expect(ms).toBeLessThan(4_000)
    expect(readdirSync(DATA_DIR).toSorted()).toEqual(['encryption.key', 'postgres'])
  })

  test('lets a running request finish, and takes no other', async () => {
    const { gateway, token } = await startDemo()
    const running = await beginRequest(gateway, token)
    gateway.signal(signal)
    await gateway.prints(/"stopping"/)
    await expect(gateway.list(token)).rejects.toThrow('fetch failed')
    expect(await finish(running)).toEqual(FINISHED)
    expect(await gateway.exited).toEqual({ code: 0, signal: null })
  })
})

describe('a stop', () => {
  test('does not wait for a connection on which nothing was asked yet', async () => {
    const { gateway } = await startDemo()
    const socket = connect(Number(new URL(gateway.url).port), '127.0.0.1')
    onTestFinished(() => void socket.destroy())
    await once(socket, 'connect')
    // The gateway accepts connections in order, so it has this one when it answers another.
    expect((await gateway.list('unknown')).status).toBe(401)
    const { code, ms } = await gateway.stop()
    expect(code).toBe(0)
    expect(ms).toBeLessThan(4_000)
  })

  test('cuts off a request that does not end, in time for those who kill after 10 seconds', async () => {
    const { gateway, token } = await startDemo()
    const { request: running } = await beginRequest(gateway, token)
    const cutOff = once(running, 'error')
    const { code, ms } = await gateway.stop()
    expect(code).toBe(0)
    expect(ms).toBeLessThan(10_000)
    expect(await cutOff).toMatchObject([{ code: 'ECONNRESET' }])
    expect(gateway.stderr()).toContain('cut off')
  })

  test('that is asked for twice is at once, and the next start takes the folder over', async () => {
    const { gateway, token, DATA_DIR } = await startDemo()
    await beginRequest(gateway, token)
    gateway.signal('SIGTERM')
    await gateway.prints(/"stopping"/)
    expect(await gateway.stop('SIGTERM')).toMatchObject({ code: null, signal: 'SIGTERM' })
    const next = await startGatewayProcessForTest({ DATA_DIR })
    expect(await namesFor(next, token)).toEqual(SAMPLES)
  })
})

describe('a data folder', () => {
  test('is held by one gateway; a second one says what to do, and disturbs nothing', async () => {
    const { gateway, token, DATA_DIR } = await startDemo()
    const { code, stdout, stderr } = await runGateway({ DATA_DIR })
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' })
    expect(stderr).toBe(
      `Switchboard could not start: The embedded database in ${DATA_DIR} is in use by process ${gateway.pid}. ` +
        'Stop that process, or set DATA_DIR to another folder, or DATABASE_URL to use PostgreSQL\n',
    )
    expect(await namesFor(gateway, token)).toEqual(SAMPLES)
    expect(await accountsIn(DATA_DIR)).toEqual(['demo'])
    expect(holderOf(DATA_DIR)).toBe(gateway.pid)
  })

  test('is whole after kill -9, for a command and for the next gateway', async () => {
    const { gateway, token, DATA_DIR } = await startDemo()
    const { stdout } = await runCli(['instance', 'create', 'demo', 'fifth', '--json'], { DATA_DIR })
    expect(await gateway.stop('SIGKILL')).toMatchObject({ code: null, signal: 'SIGKILL' })
    expect(existsSync(join(DATA_DIR, 'operator.sock'))).toBe(true)
    expect(existsSync(join(DATA_DIR, 'gateway.lock'))).toBe(true)

    expect(await accountsIn(DATA_DIR)).toEqual(['demo'])
    const next = await startGatewayProcessForTest({ DATA_DIR })
    expect(await namesFor(next, token)).toEqual([...SAMPLES, 'fifth'])
    expect(await namesFor(next, JSON.parse(stdout).token)).toEqual(['fifth'])
    expect(await next.stop()).toMatchObject({ code: 0 })
    expect(readdirSync(DATA_DIR).toSorted()).toEqual(['encryption.key', 'postgres'])
  })

  test('that a killed gateway has left is taken over by one of several', async () => {
    const { gateway, DATA_DIR } = await startDemo()
    await gateway.stop('SIGKILL')
    const contenders = Array.from({ length: 3 }, () =>
      startChildForTest([process.execPath, 'dist/main.js'], { DATA_DIR, PORT: '0' }),
    )
    const outcomes = await Promise.all(contenders.map((child) => child.prints(/is running|is in use by process \d+/)))
    expect(outcomes.map(([text]) => text).toSorted()).toEqual([
      expect.stringContaining('is in use by process'),
      expect.stringContaining('is in use by process'),
      'is running',
    ])
  })
})

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
      BOOTSTRAP_TOKEN: 'a-token-that-an-operator-has-chosen',
      LOG_LEVEL: 'trace',
      ...environment,
    })
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' })
    expect(stderr).toMatch(/could not start: .*ECONNREFUSED|DATABASE_URL has a value that cannot be used/)
    expect([SECRETS.password, TEST_KEY, 'a-token-that'].filter((secret) => stderr.includes(secret))).toEqual([])
  })
})

describe('npm start', () => {
  const startByNpm = async () => {
    const DATA_DIR = copyDataDirForTest(template)
    const environment = { DATA_DIR, PORT: '0', HOME: createDataDirForTest(), npm_config_update_notifier: 'false' }
    const npm = startChildForTest(['npm', 'start'], environment, { detached: true })
    const gateway = await asGateway(npm)
    const pid = holderOf(DATA_DIR)
    expect(pid).not.toBe(npm.pid)
    return { gateway, npm, pid, token: tokenIn(gateway.stdout()) }
  }
  const isAlive = (pid: number) => existsSync(`/proc/${pid}`) || isSignalled(pid)
  const isSignalled = (pid: number) => {
    try {
      return process.kill(pid, 0)
    } catch {
      return false
    }
  }

  test('passes SIGTERM on, so that both end and a running request is finished', async () => {
    const { gateway, pid, token } = await startByNpm()
    const running = await beginRequest(gateway, token)
    gateway.signal('SIGTERM')
    await gateway.prints(/"stopping"/)
    expect(isAlive(pid)).toBe(true)
    expect(await finish(running)).toEqual(FINISHED)
    expect(await gateway.exited).toEqual({ code: 0, signal: null })
    expect(isAlive(pid)).toBe(false)
  })

  test('lets a running request finish after Ctrl-C, which both npm and the terminal send', async () => {
    const { gateway, npm, pid, token } = await startByNpm()
    const running = await beginRequest(gateway, token)
    process.kill(-npm.pid, 'SIGINT')
    await gateway.prints(/"stopping"/)
    expect(await finish(running)).toEqual(FINISHED)
    expect(await gateway.exited).toEqual({ code: 0, signal: null })
    expect(isAlive(pid)).toBe(false)
  })
})
