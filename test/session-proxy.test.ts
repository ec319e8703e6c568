import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { request as requestHttps } from 'node:https'
import { type AddressInfo, createServer as createTcpServer, type Socket } from 'node:net'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { ProxyFailed, type ProxyRoute, routeThrough } from '../src/session/proxy-route.ts'
import { runCli, startGatewayProcessForTest } from './child.ts'
import { createDataDirForTest } from './data-dir.ts'
import { type FakeProxy, startHttpProxy, startSocksProxy } from './fake-proxy.ts'
import { startFakeWhatsApp } from './fake-whatsapp/server.ts'
import { createTestDatabase, hasPostgres, TEST_KEY } from './testkit.ts'
import { createNumber, type Stage, startStage, until } from './whatsapp.ts'

let stage: Stage
beforeAll(async () => {
  stage = await startStage({ config: { allowPrivateAddresses: true } })
})
afterAll(() => stage.close())

const ANONYMOUS = { username: null, password: null }
const CREDENTIALS = { username: 'anna', password: 'p@ss:w/ord' }

async function forTest(starting: Promise<FakeProxy>): Promise<FakeProxy> {
  const proxy = await starting
  onTestFinished(() => proxy.close())
  return proxy
}

const setProxy = async (id: string, proxy: Pick<FakeProxy, 'protocol' | 'port'>, password = CREDENTIALS.password) => {
  const { errors } = await stage.gateway.post(
    `mutation ($password: String) { setProxy(input: { instance: { id: "${id}" } config: {
      host: "127.0.0.1", port: ${proxy.port}, protocol: ${proxy.protocol.toUpperCase()}, username: "anna", password: $password
    } }) { instance { id } } }`,
    stage.account.token,
    { variables: { password } },
  )
  expect(errors).toBeUndefined()
}

describe.each([
  ['an HTTP proxy', () => startHttpProxy({ credentials: CREDENTIALS })],
  ['a SOCKS proxy', () => startSocksProxy({ credentials: CREDENTIALS })],
])('%s', (_name, start) => {
  test('carries the link from the next opening on', async () => {
    const proxy = await forTest(start())
    const number = await createNumber(stage)
    await number.link()
    await setProxy(number.instance.id, proxy)
    expect(number.status().state).toBe('connected')
    expect(proxy.requests).toEqual([])

    await number.reconnect()
    await number.reaches('connected')
    const target = `127.0.0.1:${stage.whatsapp.port}`
    expect(proxy.requests).toEqual([{ target, username: 'anna', isAccepted: true }])
    expect(proxy.tunnels()).toBe(1)
    await number.disconnect()
    await until(proxy.tunnels, (tunnels) => tunnels === 0)
  })

  test('that refuses the password is one reason, and is tried again', async () => {
    const proxy = await forTest(start())
    const number = await createNumber(stage)
    await number.link()
    await setProxy(number.instance.id, proxy, 'wrong')
    await number.reconnect()
    const { reason } = await number.reaches('connecting', 'PROXY_FAILED')
    expect(reason).toMatchObject({ nextStep: 'FIX_PROXY', whatsappCode: null })
    expect(reason?.message).not.toContain('127.0.0.1')
    expect(reason?.retryAt).not.toBeNull()

    await setProxy(number.instance.id, proxy)
    await number.reaches('connected')
  })

  test('that is not there is the same reason', async () => {
    const proxy = await start()
    await proxy.close()
    const number = await createNumber(stage)
    await number.link()
    await setProxy(number.instance.id, proxy)
    await number.reconnect()
    await number.reaches('connecting', 'PROXY_FAILED')
    expect(JSON.stringify(stage.gateway.log)).not.toContain(CREDENTIALS.password)
  })
})

test.each([
  ['an HTTP proxy', () => startHttpProxy({ credentials: CREDENTIALS })],
  ['a SOCKS proxy', () => startSocksProxy({ credentials: CREDENTIALS })],
])('%s carries downloads of media', async (_name, start) => {
  const proxy = await forTest(start())
  const media = createServer((_request, response) => response.end('a picture'))
  media.listen(0, '127.0.0.1')
  await once(media, 'listening')
  onTestFinished(() => void media.close())
  const { port } = media.address() as AddressInfo
  const route = await routeThrough(
    { ...CREDENTIALS, protocol: proxy.protocol, host: '127.0.0.1', port: proxy.port },
    true,
  )
  onTestFinished(route.close)
  const response = await fetch(`http://127.0.0.1:${port}/`, { dispatcher: route.dispatcher } as RequestInit)
  expect(await response.text()).toBe('a picture')
  expect(proxy.requests).toEqual([{ target: `127.0.0.1:${port}`, username: 'anna', isAccepted: true }])
})

test('a proxy that never answers is a proxy that failed', async () => {
  const hasty = await startStage({ config: { allowPrivateAddresses: true }, timings: { login: 1_500 } })
  onTestFinished(hasty.close)
  const proxy = await forTest(startHttpProxy())
  proxy.answerWith('nothing')
  const number = await createNumber(hasty)
  await number.link()
  await number.instance.proxy({ host: '127.0.0.1', port: proxy.port, protocol: 'http' })
  await number.reconnect()
  const { reason } = await number.reaches('connecting', 'PROXY_FAILED')
  expect(reason?.nextStep).toBe('FIX_PROXY')
  await number.disconnect()
  await until(proxy.connections, (count) => count === 0)
})

/** A proxy that says what it is told to, whatever it is asked, and the connections that it has. */
async function startRudeProxy(talk: (socket: Socket) => void) {
  const sockets = new Set<Socket>()
  const server = createTcpServer((socket) => {
    sockets.add(socket)
    socket.on('error', () => {}).once('close', () => sockets.delete(socket))
    talk(socket)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  return { port: (server.address() as AddressInfo).port, connections: () => sockets.size }
}

const askThrough = (route: ProxyRoute, kind: 'agent' | 'dispatcher'): Promise<unknown> => {
  if (kind === 'dispatcher') {
    const { dispatcher } = route
    return fetch('https://example.com/', { dispatcher } as RequestInit).catch((error: Error) => error.cause)
  }
  const request = requestHttps('https://example.com/', { agent: route.agent })
  return once(request, 'error').then(([error]) => error as unknown)
}

describe.each(['http', 'socks5'] as const)('a %s proxy that never answers', (protocol) => {
  test.each(['agent', 'dispatcher'] as const)('is left when its route is closed (%s)', async (kind) => {
    const proxy = await startRudeProxy((socket) => socket.resume())
    const address = { ...ANONYMOUS, protocol, host: '127.0.0.1', port: proxy.port }
    const route = await routeThrough(address, true)
    const failure = askThrough(route, kind)
    await until(proxy.connections, (count) => count === 1)
    expect(route.isWaiting()).toBe(true)
    route.close()
    await until(proxy.connections, (count) => count === 0)
    expect(await failure).toBeInstanceOf(Error)
    expect(route.isWaiting()).toBe(false)
    await expect(askThrough(route, kind)).resolves.toBeInstanceOf(Error)
    expect(proxy.connections()).toBe(0)
  })

  test.each(['agent', 'dispatcher'] as const)('has failed at the deadline (%s)', async (kind) => {
    const proxy = await startRudeProxy((socket) => socket.resume())
    const route = await routeThrough({ ...ANONYMOUS, protocol, host: '127.0.0.1', port: proxy.port }, true, 100)
    onTestFinished(route.close)
    expect(await askThrough(route, kind)).toBeInstanceOf(ProxyFailed)
    await until(proxy.connections, (count) => count === 0)
    expect(route.isWaiting()).toBe(false)
  })
})

test.each([
  ['garbage', ''],
  ['a header', 'HTTP/1.1 200 OK\r\nx: '],
  ['headers', 'HTTP/1.1 200 OK\r\n', 'x: 1\r\n'],
  ['a reason', 'HTTP/1.1 200 '],
  ['SOCKS', '\x05\x00'],
])('a proxy that answers %s without end is cut off', async (name, beginning, repeated = 'x') => {
  let sent = 0
  const proxy = await startRudeProxy((socket) => {
    const chunk = repeated.repeat(65_536)
    socket.resume().write(beginning, 'latin1')
    const more = () => {
      while (!socket.destroyed && socket.write(chunk)) sent += chunk.length
    }
    socket.on('drain', more)
    more()
  })
  const protocol = name === 'SOCKS' ? 'socks5' : 'http'
  const route = await routeThrough({ ...ANONYMOUS, protocol, host: '127.0.0.1', port: proxy.port }, true)
  onTestFinished(route.close)
  expect(await askThrough(route, 'agent')).toBeInstanceOf(ProxyFailed)
  await until(proxy.connections, (count) => count === 0)
  // What the buffers of two sockets hold, and no more.
  expect(sent).toBeLessThan(16 * 1024 * 1024)
})

test('a proxy over TLS carries the link as well', async () => {
  const proxy = await forTest(startHttpProxy({ credentials: CREDENTIALS, tls: true }))
  const whatsapp = await startFakeWhatsApp({ acceptUnknownDevices: true })
  onTestFinished(() => whatsapp.close())
  const DATA_DIR = createDataDirForTest()
  const ca = join(DATA_DIR, 'proxy.pem')
  writeFileSync(ca, proxy.ca ?? '')
  const database = hasPostgres ? await createTestDatabase() : null
  if (database) onTestFinished(database.drop)
  const environment = {
    DATA_DIR,
    ...(database && { DATABASE_URL: database.url, ENCRYPTION_KEY: TEST_KEY }),
    DEMO: 'false',
    WHATSAPP_URL: whatsapp.url,
    WHATSAPP_INSECURE: 'true',
    ALLOW_PRIVATE_ADDRESSES: 'true',
    NODE_EXTRA_CA_CERTS: ca,
  }
  const gateway = await startGatewayProcessForTest(environment)
  const { stdout } = await runCli(['account', 'create', 'acme', '--json'], environment)
  const { token } = JSON.parse(stdout) as { token: string }
  const post = async (query: string) => {
    const response = await fetch(`${gateway.url}/graphql`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', token },
      body: JSON.stringify({ query }),
    })
    return (await response.json()) as { data: any; errors?: unknown }
  }
  const created = await post(
    `mutation { createInstance(input: { name: "one", proxy: { host: "localhost", port: ${proxy.port}, protocol: HTTPS, username: "anna", password: "${CREDENTIALS.password}" } }) { token } }`,
  )
  expect(created.errors).toBeUndefined()
  await post('mutation { connectInstance(input: { instance: { name: "one" } }) { instance { id } } }')
  await whatsapp.seen('registration', {}, 15_000)
  expect(proxy.requests).toEqual([{ target: `127.0.0.1:${whatsapp.port}`, username: 'anna', isAccepted: true }])
})

test('a proxy at a private address is not connected to, whatever its name', async () => {
  const guarded = await startStage()
  onTestFinished(guarded.close)
  const proxy = await forTest(startHttpProxy())
  const number = await createNumber(guarded)
  await number.link()
  for (const host of ['127.0.0.1', 'localhost']) {
    await guarded.gateway.services.db.deleteFrom('proxies').execute()
    await number.instance.proxy({ host, port: proxy.port, protocol: 'http' })
    await number.reconnect()
    await number.reaches('connecting', 'PROXY_FAILED')
  }
  expect(proxy.requests).toEqual([])
})
