import { onTestFinished, describe, expect, test } from 'vitest'
import { type Environment, runCli, startChildForTest, startGatewayProcessForTest } from './child.ts'
import { createDataDirForTest } from './data-dir.ts'
import { type FakeProcess, startFakeProcessForTest } from './fake-process.ts'
import { createTestDatabase, hasPostgres, TEST_KEY } from './testkit.ts'

/** A database of a test's own, and the way to WhatsApp's stand-in. */
async function prepare(): Promise<{ environment: Environment; whatsapp: FakeProcess }> {
  const whatsapp = await startFakeProcessForTest()
  const database = hasPostgres ? await createTestDatabase() : null
  if (database) onTestFinished(database.drop)
  const environment = {
    DATA_DIR: createDataDirForTest(),
    DEMO: 'false',
    LOG_FORMAT: 'json',
    WHATSAPP_URL: whatsapp.url,
    WHATSAPP_INSECURE: 'true',
    ...(database && { DATABASE_URL: database.url, ENCRYPTION_KEY: TEST_KEY }),
  }
  await runCli(['account', 'create', 'acme'], environment)
  await runCli(['instance', 'create', 'acme', 'sales'], environment)
  await whatsapp.call('phone', { number: '15551230001', name: 'Ann' })
  return { environment, whatsapp }
}

const connect = (environment: Environment, ...options: string[]) =>
  startChildForTest([process.execPath, 'dist/cli.js', 'instance', 'connect', 'acme', 'sales', ...options], environment)

const CODE = /and type {2}([A-Z0-9]{4})-([A-Z0-9]{4})/
const CONNECTED = { state: 'connected', name: 'sales', numberJid: '15551230001@s.whatsapp.net' }

describe('instance connect', { timeout: 60_000 }, () => {
  test('draws a QR in the terminal, while the gateway runs the session', async () => {
    const { environment } = await prepare()
    await startGatewayProcessForTest(environment)
    const command = connect(environment)
    await command.prints(/[▄▀█][▄▀█ ]{25}/)
    expect(command.stdout()).toContain('Waiting for QR scan')
    await command.kill()
  })

  test('prints a code and waits until the phone has taken it, through the gateway', async () => {
    const { environment, whatsapp } = await prepare()
    const gateway = await startGatewayProcessForTest(environment)
    const command = connect(environment, '--phone', '15551230001', '--json')
    const [, left, right] = await command.prints(CODE)
    await whatsapp.call('phone.enterCode', '15551230001', `${left}${right}`)
    expect(await command.exited).toMatchObject({ code: 0 })
    expect(JSON.parse(command.stdout())).toMatchObject(CONNECTED)
    expect(gateway.stderr()).not.toContain(`${left}${right}`)
  })

  test('does it by itself when no gateway runs, and the next gateway has the session back', async () => {
    const { environment, whatsapp } = await prepare()
    const command = connect(environment, '--phone', '15551230001', '--json')
    const [, left, right] = await command.prints(CODE)
    await whatsapp.call('phone.enterCode', '15551230001', `${left}${right}`)
    expect(await command.exited).toMatchObject({ code: 0 })
    expect(JSON.parse(command.stdout())).toMatchObject(CONNECTED)
    expect(await whatsapp.call('live')).toEqual([])

    await startGatewayProcessForTest(environment)
    await whatsapp.call('nextLogin', '15551230001')
  })

  test('says why it has failed', async () => {
    const { environment, whatsapp } = await prepare()
    await startGatewayProcessForTest(environment)
    await whatsapp.call('fail', { kind: 'failure', reason: 405 })
    const { code, stdout } = await runCli(['instance', 'connect', 'acme', 'sales', '--json'], environment)
    expect(code).toBe(1)
    expect(JSON.parse(stdout)).toMatchObject({
      error: { code: 'CONFLICT', message: expect.stringContaining('version') },
    })
    expect((await runCli(['instance', 'connect', 'acme', 'nobody', '--json'], environment)).stdout).toContain(
      'INSTANCE_NOT_FOUND',
    )
    expect(
      (await runCli(['instance', 'connect', 'acme', 'sales', '--phone', '+49 1', '--json'], environment)).stdout,
    ).toContain('BAD_USER_INPUT')
  })

  test.skipIf(!hasPostgres)('is refused beside a gateway that cannot be reached from here', async () => {
    const { environment } = await prepare()
    await startGatewayProcessForTest(environment)
    const elsewhere = { ...environment, DATA_DIR: createDataDirForTest() }
    const { stdout } = await runCli(['instance', 'connect', 'acme', 'sales', '--json'], elsewhere)
    expect(JSON.parse(stdout)).toEqual({
      error: {
        code: 'SERVICE_UNAVAILABLE',
        message: expect.stringContaining(
          `none of them takes commands in DATA_DIR ${elsewhere.DATA_DIR}. Run this command on the machine of one of them`,
        ),
      },
    })
  })
})

test.skipIf(!hasPostgres)(
  'a second gateway on the database runs no sessions, and takes over when the first is gone',
  async () => {
    const { environment, whatsapp } = await prepare()
    const first = await startGatewayProcessForTest(environment)
    const command = connect(environment, '--phone', '15551230001')
    const [, left, right] = await command.prints(CODE)
    await whatsapp.call('phone.enterCode', '15551230001', `${left}${right}`)
    await command.exited

    const second = await startGatewayProcessForTest({ ...environment, DATA_DIR: createDataDirForTest() })
    const { stdout } = await runCli(['account', 'rotate-token', 'acme', '--json'], environment)
    const { token } = JSON.parse(stdout) as { token: string }
    const ask = async (url: string, query: string) => {
      const response = await fetch(`${url}/graphql`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', token },
        body: JSON.stringify({ query }),
      })
      return JSON.stringify(await response.json())
    }
    const states = '{ instances { connection { state reason { code } } } }'
    expect(await ask(first.url, states)).toContain('"CONNECTED"')
    expect(await ask(second.url, states)).toContain('"HANDOVER"')
    expect(
      await ask(second.url, 'mutation { connectInstance(input: { instance: { name: "sales" } }) { instance { id } } }'),
    ).toContain('SERVICE_UNAVAILABLE')
    expect(await whatsapp.call('all', 'login')).toHaveLength(1)

    const back = whatsapp.call('nextLogin', '15551230001', 20_000)
    first.signal('SIGKILL')
    await back
    await expect.poll(() => ask(second.url, states), { timeout: 10_000 }).toContain('"CONNECTED"')
  },
  90_000,
)
