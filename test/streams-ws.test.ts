import { once } from 'node:events'
import { request } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import { afterAll, beforeAll, describe, expect, onTestFinished, test, vi } from 'vitest'
import { WebSocket, WebSocketServer } from 'ws'
import { rotateAccountToken } from '../src/account/actions.ts'
import { KeepAlive } from '../src/graphql/keep-alive.ts'
import { Peer } from '../src/graphql/peer.ts'
import { seed, type SeededAccount, type SeededInstance } from './seed.ts'
import { silentLogger } from './silent-logger.ts'
import { CONNECTIONS, connectWs, wsUrl } from './stream-clients.ts'
import { startGatewayForTest, startTestGateway, type TestGateway } from './testkit.ts'

const ORIGIN = 'https://app.example.com'
const PROTOCOL = 'graphql-transport-ws'

let gateway: TestGateway
let shop: SeededAccount
let sales: SeededInstance
beforeAll(async () => {
  gateway = await startTestGateway({ corsOrigins: [ORIGIN] })
  shop = await seed(gateway.services.db).account('shop')
  sales = await shop.instance('sales')
})
afterAll(() => gateway.close())

type Opening = { headers?: Record<string, string>; query?: string; protocol?: string | string[]; path?: string }

/** A bare WebSocket, with the messages that came. */
function open({ headers = {}, query = '', protocol = PROTOCOL }: Opening = {}, to = gateway) {
  const socket = new WebSocket(`${wsUrl(to)}${query}`, protocol, { headers })
  onTestFinished(() => socket.terminate())
  const messages: any[] = []
  socket.on('message', (data) => messages.push(JSON.parse(String(data)))).on('error', () => {})
  return {
    socket,
    messages,
    send: (message: object) => socket.send(JSON.stringify(message)),
    /** Waits for a message. */
    told: (match: (message: any) => boolean) =>
      vi.waitFor(
        () => {
          const found = messages.find(match)
          if (!found) throw new Error(`Only ${JSON.stringify(messages)}`)
          return found
        },
        { timeout: 5_000, interval: 5 },
      ),
    closed: async () => {
      const [code, reason] = await once(socket, 'close')
      return [code, String(reason)]
    },
  }
}

/** Long names make long events, and nothing has to be loaded for them. */
const LONG_EVENTS = `subscription { connectionChanged { snapshotRemaining ${Array.from(
  { length: 19 },
  (_, index) => `${'a'.repeat(200)}${index}: instanceName`,
).join(' ')} } }`

/** A WebSocket of an account with so many instances that their snapshot is more than the network takes. */
async function openCrowd(instances: number) {
  const crowd = await seed(gateway.services.db).account(`crowd of ${instances}`)
  await crowd.instances(instances)
  const opened = open({ headers: { token: crowd.token } })
  await once(opened.socket, 'open')
  opened.send({ type: 'connection_init' })
  await opened.told(({ type }) => type === 'connection_ack')
  return opened
}

const upgradeRequest = (token: string) =>
  `GET /graphql?token=${token} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Protocol: ${PROTOCOL}\r\n\r\n`

/** The HTTP answer to an upgrade that is refused, or 101. */
const upgradeStatus = async ({ headers = {}, query = '', protocol = PROTOCOL, path = '/graphql' }: Opening) => {
  const { hostname, port } = new URL(gateway.url)
  const asked = request({
    hostname,
    port,
    path: path + query,
    headers: {
      connection: 'Upgrade',
      upgrade: 'websocket',
      'sec-websocket-version': '13',
      'sec-websocket-key': Buffer.alloc(16).toString('base64'),
      ...(protocol && { 'sec-websocket-protocol': protocol }),
      ...headers,
    },
  })
  asked.end()
  const [response, socket] = await Promise.race([once(asked, 'response'), once(asked, 'upgrade')])
  if (response.statusCode === 101) socket.destroy()
  else response.resume()
  return response.statusCode as number
}

async function enter(opening: Opening = { headers: { token: shop.token } }, to = gateway) {
  const peer = open(opening, to)
  await once(peer.socket, 'open')
  peer.send({ type: 'connection_init' })
  await peer.told(({ type }) => type === 'connection_ack')
  return peer
}

const subscribe = (id: string, query: string, variables?: object) => ({
  id,
  type: 'subscribe',
  payload: { query, variables },
})

describe('a connection', () => {
  test.each<[string, () => Opening]>([
    ['a token header', () => ({ headers: { token: shop.token } })],
    ['a bearer', () => ({ headers: { authorization: `Bearer ${shop.token}` } })],
    ['the query, which is in no log', () => ({ query: `?token=${shop.token}` })],
    ['a header rather than the query', () => ({ headers: { token: sales.token }, query: '?token=unknown' })],
    ['an allowed origin', () => ({ headers: { token: shop.token, origin: ORIGIN } })],
  ])('is let in by %s', async (_how, opening) => {
    const { send, told, socket } = await enter(opening())
    send(subscribe('1', '{ instances { name } }'))
    expect(await told(({ type }) => type === 'next')).toMatchObject({
      payload: { data: { instances: [{ name: 'sales' }] } },
    })
    socket.close()
    await once(socket, 'close')
    await vi.waitFor(() => expect(gateway.log.at(-1)).toMatchObject({ msg: 'websocket', path: '/graphql', code: 1005 }))
    expect(JSON.stringify(gateway.log)).not.toContain(shop.token)
  })

  test.each<[string, () => Opening, number]>([
    ['an unknown token', () => ({ headers: { token: 'unknown' } }), 401],
    ['an unknown token in the query', () => ({ query: '?token=unknown' }), 401],
    ['a token that cannot be one', () => ({ query: '?token=a%20b' }), 401],
    ['a foreign origin', () => ({ headers: { token: shop.token, origin: 'https://evil.example.com' } }), 403],
    ['another subprotocol', () => ({ headers: { token: shop.token }, protocol: 'graphql-ws' }), 400],
    ['no subprotocol', () => ({ headers: { token: shop.token }, protocol: '' }), 400],
    ['another path', () => ({ headers: { token: shop.token }, path: '/api/instance/list' }), 404],
    ['another version', () => ({ headers: { token: shop.token, 'sec-websocket-version': '7' } }), 400],
    ['all that is needed', () => ({ headers: { token: shop.token } }), 101],
  ])('with %s is answered with a status', async (_what, opening, status) => {
    expect(await upgradeStatus(opening())).toBe(status)
  })

  test.each([
    ['an unknown token', { token: 'unknown' }],
    ['no token', {}],
    ['a token that is no text', { token: 1 }],
  ])('with %s in its payload is closed for good', async (_what, payload) => {
    const peer = open()
    await once(peer.socket, 'open')
    peer.send({ type: 'connection_init', payload })
    expect(await peer.closed()).toEqual([4401, 'Invalid token'])
    expect(peer.messages).toEqual([])
  })

  test('that says nothing is closed after 3 seconds', async () => {
    const startedAt = performance.now()
    expect((await open().closed())[0]).toBe(4408)
    expect(performance.now() - startedAt).toBeGreaterThan(2_900)
    expect(performance.now() - startedAt).toBeLessThan(4_000)
  })

  test('may not ask before it is let in', async () => {
    const peer = open()
    await once(peer.socket, 'open')
    peer.send(subscribe('1', '{ instances { name } }'))
    expect((await peer.closed())[0]).toBe(4401)
  })

  test('is limited in its messages: 1 MiB, JSON of the protocol, and text', async () => {
    const [large, broken, strange] = [await enter(), await enter(), await enter()]
    large.send(subscribe('1', ' '.repeat(1024 * 1024)))
    expect((await large.closed())[0]).toBe(1009)
    broken.socket.send('{')
    expect((await broken.closed())[0]).toBe(4400)
    strange.socket.send('{"type":"next","id":"1","payload":{}}')
    expect((await strange.closed())[0]).toBe(4500)
  })

  test('has 10 operations at once, and the next when one ends', async () => {
    const { send, told } = await enter()
    for (let id = 1; id <= 11; id++) send(subscribe(String(id), CONNECTIONS))
    const refused = await told(({ type }) => type === 'error')
    expect(refused.payload[0].extensions.code).toBe('RATE_LIMITED')
    send({ id: refused.id === '1' ? '2' : '1', type: 'complete' })
    await vi.waitFor(async () => {
      const id = `again ${Math.random()}`
      send(subscribe(id, CONNECTIONS))
      expect(await told((message) => message.id === id)).toMatchObject({ type: 'next' })
    })
  })

  test('is closed when its token is revoked, also without a stream, and a query before that is not answered', async () => {
    const { db } = gateway.services
    const { token } = await seed(db).account('rotating')
    const peer = await enter({ headers: { token } })
    const closed = peer.closed()
    await rotateAccountToken(db, 'rotating')
    peer.send(subscribe('1', '{ viewer { kind } }'))
    expect(await closed).toEqual([4401, 'Invalid token'])
    expect(peer.messages.map(({ type }) => type)).toEqual(['connection_ack'])
  })
})

describe('failed authentications', () => {
  test('are limited by address, in payloads as in headers', async () => {
    const fresh = await startGatewayForTest()
    const guess = async () => {
      const peer = open({}, fresh)
      await once(peer.socket, 'open')
      peer.send({ type: 'connection_init', payload: { token: 'unknown' } })
      return peer.closed()
    }
    const closes = await Promise.all(Array.from({ length: 61 }, guess))
    expect(closes.filter(([, reason]) => reason === 'Invalid token')).toHaveLength(60)
    expect(closes).toContainEqual([4401, 'Rate limit exceeded. Try again later.'])
    expect((await fresh.get('/api/instance/list', 'unknown')).status).toBe(429)
  })

  test('count by the address that a trusted proxy saw', async () => {
    const fresh = await startGatewayForTest({ trustProxy: 1 })
    const guess = async (address: string) => {
      const peer = open({ headers: { 'x-forwarded-for': address } }, fresh)
      await once(peer.socket, 'open')
      peer.send({ type: 'connection_init', payload: { token: 'unknown' } })
      const [, reason] = await peer.closed()
      return reason
    }
    await Promise.all(Array.from({ length: 60 }, () => guess('192.0.2.1')))
    expect(await guess('192.0.2.1')).toMatch(/^Rate limit exceeded/)
    expect(await guess('192.0.2.2')).toBe('Invalid token')
  })
})

test('a connection is asked to come back when its token cannot be looked up', async () => {
  const away = await startGatewayForTest()
  vi.spyOn(away.services, 'lookUpToken').mockRejectedValue(Object.assign(new Error('away'), { code: 'ECONNREFUSED' }))
  const { socket, send, closed } = open({}, away)
  await once(socket, 'open')
  send({ type: 'connection_init', payload: { token: shop.token } })
  expect(await closed()).toEqual([1013, 'Service unavailable'])
})

describe('an operation', () => {
  const LIMIT = 100
  const start = async () => {
    const limited = await startGatewayForTest({ rateLimitPerMinute: LIMIT })
    const account = await seed(limited.services.db).account('limited')
    await account.instance('sales')
    return { limited, account, peer: await enter({ headers: { token: account.token } }, limited) }
  }

  test('is counted by its root fields, and tells the state of the minute in its extensions', async () => {
    const { limited, account, peer } = await start()
    peer.send(subscribe('1', '{ a: viewer { kind } b: viewer { kind } }'))
    const extensions = {
      limit: LIMIT,
      remaining: LIMIT - 2,
      resetAt: expect.stringMatching(/:\d\d\.000Z$/),
      retryAfter: 0,
    }
    expect((await peer.told(({ id, type }) => id === '1' && type === 'next')).payload.extensions).toEqual(extensions)
    peer.send(subscribe('2', CONNECTIONS))
    expect((await peer.told(({ id }) => id === '2')).payload.extensions).toEqual({ ...extensions, remaining: 97 })
    const response = await limited.get('/api/instance/list', account.token)
    expect(response.headers.get('x-ratelimit-remaining')).toBe('96')
    peer.send(subscribe('3', '{'))
    expect((await peer.told(({ id }) => id === '3')).payload[0].extensions).toEqual({ code: 'GRAPHQL_PARSE_FAILED' })
    await limited.services.limiter.charge(`account:${account.id}`, 95)
    peer.send(subscribe('4', '{ viewer { kind } }'))
    const { payload } = await peer.told(({ id }) => id === '4')
    expect(payload.errors[0]).toMatchObject({
      message: 'Rate limit exceeded. Try again later.',
      extensions: { code: 'RATE_LIMITED', limit: LIMIT, remaining: 0, retryAfter: expect.any(Number) },
    })
    expect(payload.extensions).toMatchObject({ remaining: 0, retryAfter: payload.errors[0].extensions.retryAfter })
  })

  test('tells the state of the minute with its first event, and not again', async () => {
    const { account, peer } = await start()
    await account.instance('support')
    peer.send(subscribe('1', CONNECTIONS))
    const events = () => peer.messages.filter(({ id }) => id === '1')
    await vi.waitFor(() => expect(events()).toHaveLength(2))
    expect(events().map(({ payload }) => Object.keys(payload))).toEqual([['data', 'extensions'], ['data']])
  })

  test('may be one of any number on a connection, one after the other', async () => {
    const { send, told } = await enter()
    for (let id = 1; id <= 120; id++) {
      send(subscribe(String(id), '{ viewer { kind } }'))
      const answer = await told((message) => message.id === String(id))
      expect(answer.type).toBe('next')
      await told((message) => message.id === String(id) && message.type === 'complete')
    }
  })

  test('whose event fails is told so', async () => {
    const { limited, peer } = await start()
    vi.spyOn(limited.services.sessions, 'isDelayed').mockImplementation(() => {
      throw new Error('broken')
    })
    peer.send(subscribe('1', CONNECTIONS))
    const { type, payload } = await peer.told(({ id }) => id === '1')
    expect(type).toBe('error')
    expect(payload).toMatchObject([{ message: 'Internal server error' }])
  })

  test('that is one too many is counted as one request', async () => {
    const { limited, account, peer } = await start()
    for (let id = 1; id <= 10; id++) peer.send(subscribe(String(id), CONNECTIONS))
    await vi.waitFor(() => expect(new Set(peer.messages.map(({ id }) => id).filter(Boolean)).size).toBe(10))
    const refuse = async (id: string) => {
      peer.send(subscribe(id, '{ a: viewer { kind } b: viewer { kind } }'))
      return (await peer.told((message) => message.id === id)).payload[0].extensions
    }
    for (let id = 11; id <= 15; id++) expect(await refuse(String(id))).toEqual({ code: 'RATE_LIMITED' })
    const response = await limited.get('/api/instance/list', account.token)
    expect(response.headers.get('x-ratelimit-remaining')).toBe(String(LIMIT - 10 - 5 - 1))
    await limited.services.limiter.charge(`account:${account.id}`, LIMIT - 10 - 5 - 1)
    expect(await refuse('16')).toMatchObject({ code: 'RATE_LIMITED', remaining: 0 })
  })

  test('may be a mutation', async () => {
    const { client } = connectWs(gateway, shop.token)
    const query = 'mutation { createInstance(input: { name: "by-socket" }) { instance { name } } }'
    const { value } = await client.iterate({ query }).next()
    expect(value?.data).toEqual({ createInstance: { instance: { name: 'by-socket' } } })
    await gateway.services.db.deleteFrom('instances').where('name', '=', 'by-socket').execute()
  })

  test.each([
    ['{ nothing }', 'GRAPHQL_VALIDATION_FAILED'],
    [`{ ${Array.from({ length: 21 }, (_, index) => `a${index}: viewer { kind }`).join(' ')} }`, 'QUERY_TOO_COMPLEX'],
    ['query ($n: [String!]!) { instances(names: $n) { name } }', 'BAD_USER_INPUT'],
    ['query A { viewer { kind } } query B { viewer { kind } }', 'BAD_USER_INPUT'],
  ])('is refused by the rules of HTTP: %s', async (query, code) => {
    const { send, told, socket } = await enter()
    send(subscribe('1', query))
    const { payload } = await told(({ id }) => id === '1')
    const [error] = Array.isArray(payload) ? payload : payload.errors
    expect(error.extensions).toMatchObject({ code })
    expect(error.extensions.http).toBeUndefined()
    expect(socket.readyState).toBe(WebSocket.OPEN)
  })
})

/** A gateway of the test's own whose lookups of tokens are answered when they may `proceed`. */
async function startHesitating() {
  const hesitating = await startGatewayForTest()
  const { services } = hesitating
  const { token } = await seed(services.db).account('late')
  const lookUp = services.lookUpToken
  let proceed = () => {}
  const gate = new Promise<void>((resolve) => (proceed = resolve))
  const asked = vi.spyOn(services, 'lookUpToken').mockImplementation(async (sent) => {
    const found = await lookUp(sent)
    await gate
    return found
  })
  return { hesitating, services, token, asked, proceed }
}

test('an upgrade whose token is looked up while the gateway starts to stop is closed as a WebSocket', async () => {
  const { hesitating, token, asked, proceed } = await startHesitating()
  const closed = open({ headers: { token } }, hesitating).closed()
  await vi.waitFor(() => expect(asked).toHaveBeenCalled())
  const stopped = hesitating.close()
  proceed()
  expect(await closed).toEqual([1012, 'Service restart'])
  await stopped
})

test('a stop closes all connections, those without a token, too', async () => {
  const stopping = await startGatewayForTest()
  const { token } = await seed(stopping.services.db).account('many')
  const openings = Array.from({ length: 13 }, (_, index) => (index % 2 === 0 ? { headers: { token } } : {}))
  const peers = openings.map((opening) => open(opening, stopping))
  await Promise.all(peers.map(({ socket }) => once(socket, 'open')))
  const closes = Promise.all(peers.map(({ closed }) => closed()))
  await stopping.close()
  expect(await closes).toEqual(openings.map(() => [1012, 'Service restart']))
})

test('a stop does not wait for a client that has said goodbye and stays', async () => {
  const stopping = await startGatewayForTest()
  const { token } = await seed(stopping.services.db).account('staying')
  const { hostname, port } = new URL(stopping.url)
  const socket = connect({ port: Number(port), host: hostname, allowHalfOpen: true })
  onTestFinished(() => void socket.destroy())
  socket.write(upgradeRequest(token))
  expect(String(await once(socket, 'data'))).toContain(' 101 ')
  const CLOSE_FRAME = Buffer.from([0x88, 0x80, 0, 0, 0, 0])
  socket.write(CLOSE_FRAME)
  await once(socket, 'end')
  const startedAt = performance.now()
  await stopping.close()
  expect(performance.now() - startedAt).toBeLessThan(8_000)
})

test('a connection that has closed is not pinged', async () => {
  const forgotten = vi.spyOn(KeepAlive.prototype, 'delete')
  const { socket } = await enter()
  socket.close()
  await vi.waitFor(() => expect(forgotten).toHaveReturned())
  forgotten.mockRestore()
})

test('a client that breaks off while its token is looked up harms nobody', async () => {
  const { hesitating, token, asked, proceed } = await startHesitating()
  const { hostname, port } = new URL(hesitating.url)
  const socket = connect(Number(port), hostname)
  socket.write(upgradeRequest(token))
  await vi.waitFor(() => expect(asked).toHaveBeenCalled())
  socket.resetAndDestroy()
  await new Promise((resolve) => setTimeout(resolve, 50))
  proceed()
  expect((await hesitating.get('/health/live')).status).toBe(200)
})

test('a connection that has closed while its token was looked up is not watched', async () => {
  const { hesitating, services, token, asked, proceed } = await startHesitating()
  const held = vi.spyOn(services.tokenWatch, 'hold')
  const { socket, send } = open({}, hesitating)
  await once(socket, 'open')
  send({ type: 'connection_init', payload: { token } })
  await vi.waitFor(() => expect(asked).toHaveBeenCalled())
  socket.terminate()
  await expect.poll(() => hesitating.log.some(({ msg }) => msg === 'websocket')).toBe(true)
  proceed()
  await Promise.all(asked.mock.results.map(({ value }) => value))
  await new Promise(setImmediate)
  expect(held).not.toHaveBeenCalled()
})

describe('what is no WebSocket', () => {
  const upgrading = { connection: 'Upgrade, HTTP2-Settings', upgrade: 'h2c', 'http2-settings': 'AAMAAABkAAQAAP__' }
  const ask = async (path: string, method: string, body = '') => {
    const { hostname, port } = new URL(gateway.url)
    const headers = { ...upgrading, token: shop.token, 'content-type': 'application/json' }
    const asked = request({ hostname, port, path, method, headers: { ...headers, 'content-length': body.length } })
    asked.end(body)
    const [response] = await once(asked, 'response')
    let text = ''
    for await (const chunk of response) text += chunk
    return [response.statusCode, JSON.parse(text)]
  }

  test('is served as if it had not offered another protocol', async () => {
    expect(await ask('/api/instance/list', 'GET')).toMatchObject([200, { success: true }])
    const query = JSON.stringify({ query: '{ instances { name } }' })
    expect(await ask('/graphql', 'POST', query)).toEqual([200, { data: { instances: [{ name: 'sales' }] } }])
  })

  test('a client that breaks off in the middle of an upgrade harms nobody', async () => {
    const { hostname, port } = new URL(gateway.url)
    for (let index = 0; index < 20; index++) {
      const socket = connect(Number(port), hostname)
      socket.write(upgradeRequest(shop.token))
      await new Promise((resolve) => setTimeout(resolve, index % 3))
      socket.resetAndDestroy()
    }
    expect((await gateway.get('/health/live')).status).toBe(200)
  })
})

describe('a client that does not read', () => {
  test('and asks on and on is cut off', async () => {
    const { socket } = await enter()
    socket.pause()
    const closed = once(socket, 'close')
    const message = JSON.stringify({ type: 'ping', payload: { text: 'x'.repeat(100_000) } })
    for (let index = 0; index < 300; index++) socket.send(message)
    await vi.waitFor(() => expect(socket.bufferedAmount).toBe(0), { timeout: 5_000 }).catch(() => undefined)
    socket.resume()
    expect((await closed)[0]).toBe(1006)
  })

  test('and subscribes on and on is cut off', async () => {
    const { socket, send } = await openCrowd(2_000)
    socket.pause()
    const closed = once(socket, 'close')
    for (let index = 0; index < 400; index++) {
      send({ id: `${index}`, type: 'subscribe', payload: { query: LONG_EVENTS } })
      // Time to open it.
      await new Promise((resolve) => setTimeout(resolve, 10))
      send({ id: `${index}`, type: 'complete' })
    }
    socket.resume()
    expect((await closed)[0]).toBe(1006)
  })

  test('answers no ping, and is cut off', async () => {
    const server = new WebSocketServer({ port: 0, host: '127.0.0.1' })
    onTestFinished(() => server.close())
    await once(server, 'listening')
    const open = new KeepAlive<Peer>(50)
    server.on('connection', (socket, request) => {
      const peer = new Peer(
        socket,
        request.socket,
        { client: { address: '' }, requestId: '', sentToken: null },
        silentLogger,
      )
      open.add(peer)
      peer.onClose(() => open.delete(peer))
    })
    const { port } = server.address() as AddressInfo
    const [reading, silent] = [new WebSocket(`ws://127.0.0.1:${port}`), new WebSocket(`ws://127.0.0.1:${port}`)]
    onTestFinished(() => reading.terminate())
    await Promise.all([once(reading, 'open'), once(silent, 'open')])
    silent.pause()
    await vi.waitFor(() => expect(server.clients.size).toBe(1))
    await new Promise((resolve) => setTimeout(resolve, 200))
    expect(reading.readyState).toBe(WebSocket.OPEN)
    silent.terminate()
  })
})

test('pings of a client are answered', async () => {
  const { socket, send, told } = await enter()
  socket.ping('hello')
  const [data] = await once(socket, 'pong')
  expect(String(data)).toBe('hello')
  send({ type: 'ping' })
  await told(({ type }) => type === 'pong')
})

test('nothing is listened to when all readers have gone', async () => {
  const { sessions } = gateway.services
  await vi.waitFor(() => expect(sessions.connectionTicks.size + sessions.pairingSteps.size).toBe(0))
})

test('a reader that reads late gets what the network did not take at once', async () => {
  const instances = 3_000
  const { socket, messages, send } = await openCrowd(instances)
  send({ id: '1', type: 'subscribe', payload: { query: LONG_EVENTS } })
  socket.pause()
  await new Promise((resolve) => setTimeout(resolve, 500))
  expect(messages).toHaveLength(1)
  socket.resume()
  await vi.waitFor(() => expect(messages).toHaveLength(1 + instances), { timeout: 10_000 })
  expect(messages.at(-1).payload.data.connectionChanged.snapshotRemaining).toBe(0)
})
