import { once } from 'node:events'
import { connect } from 'node:net'
import { auditServer } from 'graphql-http'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { type SeededAccount, seed } from './seed.ts'
import { startGatewayForTest, startTestGateway, type TestGateway } from './testkit.ts'

const ORIGIN = 'https://app.example.com'

let gateway: TestGateway
let shop: SeededAccount

beforeAll(async () => {
  gateway = await startTestGateway({ corsOrigins: [ORIGIN] })
  shop = await seed(gateway.services.db).account('shop')
})
afterAll(() => gateway.close())

const request = (path: string, init: RequestInit = {}) => fetch(`${gateway.url}${path}`, init)
const JSON_TYPE = { 'content-type': 'application/json' }

/** What the server answers to bytes that no HTTP client would send. */
const raw = (bytes: string) =>
  new Promise<string>((resolve, reject) => {
    let answer = ''
    const socket = connect(Number(new URL(gateway.url).port), '127.0.0.1').setEncoding('utf8')
    socket
      .on('data', (text) => (answer += text))
      .on('end', () => resolve(answer))
      .on('error', reject)
    socket.write(bytes)
  })

describe('GraphQL over HTTP', () => {
  test.each([
    ['without a token', () => ({})],
    ['with a token', () => ({ token: shop.token })],
  ])('passes all 61 audits %s', async (_how, headers) => {
    const results = await auditServer({
      url: `${gateway.url}/graphql`,
      fetchFn: (url: string, init: RequestInit = {}) =>
        fetch(url, { ...init, headers: { ...init.headers, ...headers() } }),
    })
    expect(results.filter(({ status }) => status !== 'ok')).toEqual([])
    expect(results).toHaveLength(61)
  })

  test.each<[string, string, RequestInit, number]>([
    ['a GET without a token', '/graphql?query={instances{name}}', {}, 401],
    [
      'a simple POST of text',
      '/graphql',
      { method: 'POST', headers: { 'content-type': 'text/plain' }, body: '{"query":"{ instances { name } }"}' },
      415,
    ],
    ['a form', '/graphql', { method: 'POST', body: new URLSearchParams({ query: '{ __typename }' }) }, 415],
    [
      'a multipart form',
      '/graphql',
      {
        method: 'POST',
        body: (() => {
          const form = new FormData()
          form.set('query', '{ __typename }')
          return form
        })(),
      },
      415,
    ],
    [
      'application/graphql',
      '/graphql',
      { method: 'POST', headers: { 'content-type': 'application/graphql' }, body: '{ __typename }' },
      415,
    ],
    [
      'a compressed body',
      '/graphql',
      { method: 'POST', headers: { ...JSON_TYPE, 'content-encoding': 'gzip' }, body: 'x' },
      415,
    ],
    ['a batch', '/graphql', { method: 'POST', headers: JSON_TYPE, body: '[{"query":"{ __typename }"}]' }, 400],
    ['an empty object', '/graphql', { method: 'POST', headers: JSON_TYPE, body: '{}' }, 400],
    ['null', '/graphql', { method: 'POST', headers: JSON_TYPE, body: 'null' }, 400],
    ['broken UTF-8', '/graphql', { method: 'POST', headers: JSON_TYPE, body: Buffer.from([0x7b, 0xff, 0x7d]) }, 400],
    ['variables that are not JSON', '/graphql?query={__typename}&variables={', {}, 400],
    ['another method', '/graphql', { method: 'PUT', headers: JSON_TYPE, body: '{}' }, 405],
    [
      'a media type that is not spoken',
      '/graphql',
      { method: 'POST', headers: { ...JSON_TYPE, accept: 'image/png' }, body: '{"query":"{ __typename }"}' },
      406,
    ],
    [
      'an unknown operation name',
      '/graphql',
      {
        method: 'POST',
        headers: { ...JSON_TYPE, accept: 'application/graphql-response+json' },
        body: '{"query":"query A { __typename }","operationName":"B"}',
      },
      400,
    ],
  ])('refuses %s', async (_what, path, init, status) => {
    const response = await request(path, init)
    const body = (await response.json()) as { errors: { message: string; extensions: object }[]; data?: unknown }
    expect(response.status).toBe(status)
    expect(body.errors[0]?.message).toMatch(/\w/)
    expect(body.errors[0]?.extensions).toEqual({ code: status === 401 ? 'UNAUTHENTICATED' : 'BAD_USER_INPUT' })
    expect(body.data).toBeUndefined()
  })

  test('never executes a mutation that comes by GET', async () => {
    const response = await request('/graphql?query=mutation{__typename}', { headers: { token: shop.token } })
    expect(((await response.json()) as { data?: unknown }).data).toBeUndefined()
  })

  test('tells the method that a mutation needs', async () => {
    const response = await request('/graphql?query=mutation{__typename}', { headers: { token: shop.token } })
    expect([response.status, response.headers.get('allow')]).toEqual([405, 'POST'])
  })

  test.each([
    ['', 'json'],
    ['*/*', 'json'],
    ['application/json', 'json'],
    ['application/graphql-response+json', 'graphql-response+json'],
    ['application/graphql-response+json, application/json;q=0.9', 'graphql-response+json'],
    ['application/graphql-response+json;q=0, application/json', 'json'],
    ['application/json, application/graphql-response+json; q=0.0', 'json'],
    ['application/graphql-response+json;q=0, */*', 'json'],
    ['application/json;q=0, */*', 'graphql-response+json'],
  ])('answers somebody who accepts %j with %s', async (accept, subtype) => {
    for (const query of ['{ viewer { kind } }', '{', '{ viewer { kind } } #'.repeat(2)]) {
      const { status, headers } = await gateway.post(query, shop.token, { headers: { accept } })
      expect(status).not.toBe(406)
      expect(headers.get('content-type')).toBe(`application/${subtype}; charset=utf-8`)
    }
    const { status, headers } = await gateway.post('{ viewer { kind } }', 'wrong', { headers: { accept } })
    expect([status, headers.get('content-type')]).toEqual([401, `application/${subtype}; charset=utf-8`])
  })

  test.each(['application/json;q=0', '*/*;q=0', 'application/json;q=0, application/graphql-response+json;q=0'])(
    'has no answer for somebody who accepts %j',
    async (accept) => {
      expect((await gateway.post('{ viewer { kind } }', shop.token, { headers: { accept } })).status).toBe(406)
    },
  )

  test('refuses a body above 1 MiB with 413, whether its length is announced or not', async () => {
    const body = JSON.stringify({ query: `# ${'x'.repeat(1024 * 1024)}\n{ __typename }` })
    const chunked = new ReadableStream({
      start(controller) {
        for (let at = 0; at < body.length; at += 65_536) controller.enqueue(Buffer.from(body.slice(at, at + 65_536)))
        controller.close()
      },
    })
    for (const init of [{ body }, { body: chunked, duplex: 'half' }] as RequestInit[]) {
      const response = await request('/graphql', { method: 'POST', headers: JSON_TYPE, ...init })
      expect(response.status).toBe(413)
      expect(await response.json()).toMatchObject({ errors: [{ extensions: { code: 'BAD_USER_INPUT' } }] })
    }
  })

  test('executes nothing whose answer could not be told', async () => {
    const query = 'mutation { createInstance(input: { name: "untold" }) { token } }'
    const { status } = await gateway.post(query, shop.token, { headers: { accept: 'multipart/mixed' } })
    expect(status).toBe(406)
    expect((await gateway.post('{ instance(name: "untold") { id } }', shop.token)).data).toEqual({ instance: null })
  })

  test('does not take an upload that was broken off for a database that is away', async () => {
    gateway.log.length = 0
    const socket = connect(Number(new URL(gateway.url).port), '127.0.0.1')
    socket.write(
      'POST /graphql HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{"qu',
    )
    await expect.poll(() => socket.bytesWritten).toBeGreaterThan(0)
    await request('/health/live')
    socket.destroy()
    await expect.poll(() => gateway.log.filter(({ path }) => path === '/graphql')).toMatchObject([{ aborted: true }])
    expect(gateway.log.find(({ path }) => path === '/graphql')).not.toHaveProperty('status')
    expect(gateway.log.filter(({ level }) => Number(level) >= 40)).toEqual([])
  })

  test('understands a target with scheme and host, as a proxy sends it', async () => {
    const answer = await raw('GET http://x/health/live HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n')
    expect(answer).toMatch(/^HTTP\/1.1 200 /)
  })

  test('answers one request after the other that offers another protocol, and leaves nothing on the connection', async () => {
    const warnings: Error[] = []
    const note = (warning: Error) => void warnings.push(warning)
    process.on('warning', note)
    onTestFinished(() => void process.off('warning', note))
    const socket = connect(Number(new URL(gateway.url).port), '127.0.0.1').setEncoding('utf8')
    onTestFinished(() => void socket.destroy())
    for (let count = 0; count < 15; count++) {
      socket.write('GET /health/live HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n')
      const [answer] = await once(socket, 'data')
      expect(answer).toMatch(/^HTTP\/1.1 200 /)
    }
    expect(warnings).toEqual([])
  })

  test('limits introspection without a token by address', async () => {
    const plain = await startGatewayForTest()
    const aliases = Array.from({ length: 20 }, (_, index) => `a${index}: __typename`).join(' ')
    const statuses = await Promise.all(
      Array.from({ length: 40 }, async () => (await plain.post(`{ ${aliases} }`)).status),
    )
    expect(statuses.filter((status) => status === 200)).toHaveLength(30)
    expect(statuses.filter((status) => status === 429)).toHaveLength(10)
  })

  test('says 401 to an invalid token before anything else, also for introspection', async () => {
    for (const body of ['{"query":"{ __typename }"}', '{"query":"{"}', 'x']) {
      const response = await request('/graphql', { method: 'POST', headers: { ...JSON_TYPE, token: 'wrong' }, body })
      expect(response.status).toBe(401)
      expect(await response.json()).toEqual({
        errors: [{ message: 'Invalid token', extensions: { code: 'UNAUTHENTICATED' } }],
      })
    }
  })

  test('answers a GET with a token', async () => {
    const response = await request('/graphql?query={viewer{kind}}', {
      headers: { authorization: `Bearer ${shop.token}` },
    })
    expect(await response.json()).toEqual({ data: { viewer: { kind: 'ACCOUNT' } } })
  })

  test('does not repeat a huge value in its complaint', async () => {
    const names = { deep: 'x'.repeat(500_000) }
    const { errors } = await gateway.post(
      'query ($names: [String]) { instances(names: $names) { name } }',
      shop.token,
      { variables: { names } },
    )
    expect(errors?.[0]?.extensions).toEqual({ code: 'BAD_USER_INPUT', field: 'names' })
    expect(errors?.[0]?.message.length).toBeLessThan(600)
  })
})

describe('every answer', () => {
  test.each([
    ['/api/instance/list', 401],
    ['/graphql?query={viewer{kind}}', 401],
    ['/graphql?query={__typename}', 200],
    ['/nowhere', 404],
    ['/health/live', 200],
  ])('of %s carries a request id and is kept from shared caches', async (path, status) => {
    const response = await request(path)
    expect(response.status).toBe(status)
    expect(response.headers.get('x-request-id')).toMatch(/^[\da-f-]{36}$/)
    expect(response.headers.get('cache-control')).toBe('private, no-cache')
    expect(response.headers.get('vary')).toBe('token, authorization, origin')
    await response.arrayBuffer()
  })

  test('keeps the request id that a proxy gave, when it is harmless, and logs it', async () => {
    const idOf = async (id: string) =>
      (await request('/health/live', { headers: { 'x-request-id': id } })).headers.get('x-request-id')
    expect(await idOf('abc-123')).toBe('abc-123')
    expect(await idOf('a b')).not.toBe('a b')
    expect(await idOf('x'.repeat(129))).not.toBe('x'.repeat(129))
    await expect
      .poll(() => gateway.log.filter(({ requestId }) => requestId === 'abc-123'))
      .toMatchObject([{ method: 'GET', path: '/health/live', status: 200 }])
  })

  test('are told apart from a request id that is called like one of them', async () => {
    const { headers } = await request('/health/live', { headers: { 'x-request-id': 'Content-Type' } })
    expect(headers.get('x-request-id')).toBe('Content-Type')
    expect(headers.get('content-type')).toMatch(/^application\/json/)
  })
})

describe('CORS', () => {
  const preflight = (origin: string, path = '/api/instance/list') =>
    request(path, {
      method: 'OPTIONS',
      headers: { origin, 'access-control-request-method': 'GET', 'access-control-request-headers': 'token' },
    })

  test.each(['/api/instance/list', '/graphql'])(
    'lets listed origins ask for %s, without a token and uncounted',
    async (path) => {
      const response = await preflight(ORIGIN, path)
      expect(response.status).toBe(204)
      expect(Object.fromEntries(response.headers)).toMatchObject({
        'access-control-allow-origin': ORIGIN,
        'access-control-allow-methods': 'GET, HEAD, POST, DELETE, OPTIONS',
        'access-control-allow-headers': 'content-type, authorization, token',
      })
      expect(response.headers.has('access-control-allow-credentials')).toBe(false)
      expect(response.headers.has('x-ratelimit-limit')).toBe(false)
    },
  )

  test('gives no header to another origin', async () => {
    for (const response of [
      await preflight('https://evil.example.com'),
      await preflight('null'),
      await request('/api/instance/list', { headers: { origin: `${ORIGIN}.evil.com` } }),
    ]) {
      expect([...response.headers.keys()].filter((name) => name.startsWith('access-control'))).toEqual([])
    }
  })

  test('lets pages read errors and the state of the limit', async () => {
    for (const token of ['wrong', shop.token]) {
      const { headers } = await request('/api/instance/list', { headers: { origin: ORIGIN, token } })
      expect(headers.get('access-control-allow-origin')).toBe(ORIGIN)
      for (const name of ['X-RateLimit-Limit', 'X-RateLimit-Remaining', 'X-RateLimit-Reset', 'Retry-After']) {
        expect(headers.get('access-control-expose-headers')).toContain(name)
      }
    }
  })
})

describe('what no client should send is answered in JSON', () => {
  test.each([
    [
      'headers above 32 KiB',
      `GET /api/instance/list HTTP/1.1\r\nHost: x\r\nX-Long: ${'x'.repeat(40_000)}\r\n\r\n`,
      431,
    ],
    [
      'a filter above 32 KiB',
      `GET /api/instance/list?instanceName=${'x'.repeat(40_000)} HTTP/1.1\r\nHost: x\r\n\r\n`,
      431,
    ],
    ['nonsense', 'NONSENSE\r\n\r\n', 400],
    ['no Host', 'GET /health/live HTTP/1.1\r\nConnection: close\r\n\r\n', 400],
    ['an expectation', 'GET /health/live HTTP/1.1\r\nHost: x\r\nExpect: wonders\r\nConnection: close\r\n\r\n', 417],
    ['a tunnel', 'CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n', 405],
  ])('%s', async (_what, bytes, status) => {
    const answer = await raw(bytes)
    const [head = '', body = ''] = answer.split('\r\n\r\n')
    expect(head).toMatch(new RegExp(`^HTTP/1.1 ${status} `))
    expect(head).toMatch(/X-Request-Id: /)
    expect(JSON.parse(body)).toEqual({ success: false, error: { message: expect.any(String) } })
  })
})

describe('health', () => {
  test('is live and ready', async () => {
    expect(await (await request('/health/live')).json()).toEqual({ status: 'live' })
    expect(await (await request('/health/ready')).json()).toEqual({ status: 'ready' })
  })
  test.each(['/health/live', '/health/ready'])('%s is read and nothing else', async (path) => {
    expect((await request(path, { method: 'HEAD' })).status).toBe(200)
    for (const method of ['POST', 'DELETE', 'OPTIONS']) {
      const response = await request(path, { method })
      expect([response.status, response.headers.get('allow')]).toEqual([405, 'GET, HEAD'])
      expect(await response.json()).toEqual({ success: false, error: { message: 'Method not allowed' } })
    }
  })
})

describe('GraphiQL', () => {
  test('is a page that loads nothing from elsewhere, with example tabs', async () => {
    const page = await (await request('/graphql', { headers: { accept: 'text/html' } })).text()
    expect(page).toContain('<title>Switchboard GraphiQL</title>')
    expect(page).not.toMatch(/<(script|link|img|iframe)[^>]+(src|href)="(https?:)?\/\//)
    expect(page).toContain('query InstancesByName')
  })
  test('can be switched off', async () => {
    const plain = await startGatewayForTest({ graphiql: false })
    const response = await plain.get('/graphql', undefined, { accept: 'text/html' })
    expect([response.status, (await response.text()).includes('<html')]).toEqual([406, false])
  })
})
