import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type SeededAccount, seed } from './seed.ts'
import { startTestGateway, type TestGateway } from './testkit.ts'

let gateway: TestGateway
let shop: SeededAccount
let sales: { id: string; token: string }

beforeAll(async () => {
  gateway = await startTestGateway()
  shop = await seed(gateway.services.db).account('shop')
  const other = await seed(gateway.services.db).account('other')
  sales = await shop.instance('sales')
  await shop.instance('support')
  await shop.instance('Ventas São Paulo')
  await other.instance('foreign')
})
afterAll(() => gateway.close())

const list = (query: string, token = shop.token, headers?: Record<string, string>) =>
  gateway.get(`/api/instance/list${query}`, token, headers)

const namesOf = async (response: Response) =>
  ((await response.json()) as { instances: { name: string }[] }).instances.map(({ name }) => name)

const ALL = ['sales', 'support', 'Ventas São Paulo']

describe('selection with an account token', () => {
  test.each([
    ['', ALL],
    ['?', ALL],
    ['?instanceName', ALL],
    ['?instanceName=', ALL],
    ['?other=sales', ALL],
    ['?instanceName=sales', ['sales']],
    ['?instanceName=%73ales', ['sales']],
    ['?instanceName=sales&other=support', ['sales']],
    ['?instanceName=Ventas%20S%C3%A3o%20Paulo', ['Ventas São Paulo']],
    ['?instanceName=Ventas+S%C3%A3o+Paulo', ['Ventas São Paulo']],
    ['?instanceName=support,sales', ['sales', 'support']],
    ['?instanceName=sales&instanceName=support', ['sales', 'support']],
    ['?instanceName=%20sales%20,%20support', ['sales', 'support']],
    ['?instanceName=sales,', ['sales']],
    ['?instanceName=sales,sales', ['sales']],
    ['?instanceName=sales,nobody', ['sales']],
    ['?instanceName=sales,foreign', ['sales']],
    ['?instanceName=nobody,noone', []],
    ['?instanceName=nobody,foreign', []],
    ['?instanceName=,', []],
    ['?instanceName=%2C', []],
    ['?instanceName=%20,%20', []],
    ['?instanceName=%20', []],
    ['?instanceName=&instanceName=', []],
    ['?instanceName=nobody,%00', []],
  ])('%s gives %j', async (query, expected) => {
    const response = await list(query)
    expect(response.status).toBe(200)
    expect(await namesOf(response)).toEqual(expected)
  })

  test.each([
    '?instanceName=nobody',
    '?instanceName=foreign',
    '?instanceName=SALES',
    '?instanceName=nobody,',
    '?instanceName=nobody,nobody',
    '?instanceName=%00',
    '?instanceName=%zz',
    "?instanceName=sales'%20or%201=1--",
    '?instanceName=__proto__',
    '?instanceName=%ff%fe',
  ])('%s is one name that does not exist: 404', async (query) => {
    const response = await list(query)
    expect(response.status).toBe(404)
    expect(await response.json()).toEqual({ success: false, error: { message: 'Instance not found' } })
  })

  test('a trailing slash is served and not redirected', async () => {
    const response = await gateway.get('/api/instance/list/?instanceName=sales', shop.token)
    expect([response.status, response.redirected]).toEqual([200, false])
    expect(await namesOf(response)).toEqual(['sales'])
  })
})

test.each([
  '',
  '?instanceName=',
  '?instanceName=support',
  '?instanceName=nobody',
  '?instanceName=,',
  `?instanceName=${'x'.repeat(9000)}`,
])('with an instance token %.40s gives its own instance', async (query) => {
  const response = await list(query, sales.token)
  expect(response.status).toBe(200)
  expect(await namesOf(response)).toEqual(['sales'])
})

describe('the message', () => {
  test.each([
    ['?instanceName=sales', '1 Instance found', 1],
    ['', '3 Instances found', 3],
    ['?instanceName=,', '0 Instances found', 0],
  ])('of %s is %s', async (query, message, total) => {
    const body = (await (await list(query)).json()) as object
    expect(body).toMatchObject({ success: true, message, meta: { total } })
    expect(Object.keys(body)).toEqual(['success', 'message', 'instances', 'meta'])
  })
})

describe('a filter that is too long', () => {
  test('8,192 bytes as sent are served', async () => {
    expect((await list(`?instanceName=sales,${'x'.repeat(8192 - 'sales,'.length)}`)).status).toBe(200)
  })
  test.each([
    ['one byte more', `?instanceName=sales,${'x'.repeat(8193 - 'sales,'.length)}`],
    ['escapes, which count as sent', `?instanceName=sales,${'%41'.repeat(2730)}`],
    ['repeats, which count together', `?instanceName=${'x'.repeat(4096)}&instanceName=${'x'.repeat(4096)}`],
    ['a long list of commas', `?instanceName=${','.repeat(30_000)}`],
  ])('%s is refused', async (_what, query) => {
    const response = await list(query)
    expect(response.status).toBe(400)
    expect(await response.json()).toEqual({ success: false, error: { message: 'instanceName is too long' } })
  })
  test('another parameter of that length is nobody’s business', async () => {
    expect((await list(`?instanceName=sales&other=${'x'.repeat(9000)}`)).status).toBe(200)
  })
})

describe('errors, in this order', () => {
  test.each(['POST', 'PUT', 'PATCH', 'DELETE'])('405 for %s, even without a token', async (method) => {
    const response = await fetch(`${gateway.url}/api/instance/list`, { method })
    expect([response.status, response.headers.get('allow')]).toEqual([405, 'GET, HEAD, OPTIONS'])
    expect(await response.json()).toEqual({ success: false, error: { message: 'Method not allowed' } })
  })
  test('401 before a filter that is too long', async () => {
    const response = await list(`?instanceName=${'x'.repeat(9000)}`, 'wrong')
    expect(response.status).toBe(401)
    expect(await response.json()).toEqual({ success: false, error: { message: 'Invalid token' } })
    expect(response.headers.get('x-ratelimit-limit')).toBeNull()
  })
  test.each([
    '/',
    '/api',
    '/api/instance',
    '/api/instance/list/x',
    '/api/instance/listing',
    '//api/instance/list',
    '/API/instance/list',
  ])('404 Not found for %s', async (path) => {
    const response = await gateway.get(path, shop.token)
    expect(response.status).toBe(404)
    expect(await response.json()).toEqual({ success: false, error: { message: 'Not found' } })
  })
})

describe('one item', () => {
  test('of a new instance has every documented key and nothing configured', async () => {
    const { instances } = (await (await list('?instanceName=sales')).json()) as { instances: Record<string, unknown>[] }
    const { createdAt, updatedAt, ...item } = instances[0] ?? {}
    expect(item).toEqual({
      id: sales.id,
      name: 'sales',
      status: 'disconnected',
      numberJid: null,
      connection: {
        state: 'disconnected',
        numberJid: null,
        presenceStatus: 'unavailable',
        displayStatus: 'Disconnected',
      },
      profile: { name: '', pictureUrl: '', isBusiness: false, businessName: '' },
      webhook: { label: 'default', enabled: false, url: '', byEvents: false, events: [], mediaBase64: false },
      websocket: { enabled: false, events: [], mediaBase64: false },
      chatwoot: {
        enabled: false,
        status: null,
        bridgeIntegrationId: null,
        baseUrl: null,
        accountId: null,
        inboxName: null,
      },
      proxy: { enabled: false, host: null, port: null, protocol: null, username: null },
      settings: {
        autoRejectCalls: false,
        callRejectMessage: '',
        ignoreGroupMessages: false,
        keepOnlineStatus: false,
        autoReadMessages: false,
        disableHistorySync: true,
        ignoreStatus: false,
      },
      s3: { enabled: false, region: null, bucket: null, endpoint: null, pathPrefix: null },
    })
    for (const instant of [createdAt, updatedAt]) expect(instant).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/)
  })

  test('of a configured instance shows what is stored, in REST’s words, and no secret', async () => {
    const account = await seed(gateway.services.db).account('configured')
    const full = await account.instance('full')
    const secret = Buffer.from('SECRET')
    await full.facts({
      number_jid: '5511999999999@s.whatsapp.net',
      paired_at: new Date(),
      profile_name: 'Shop',
      profile_picture_url: 'https://pps.example.com/1.jpg',
      is_business: true,
      business_name: 'Shop Ltd',
    })
    await full.webhook({ events: ['message.status', 'call.update'], authorization_sealed: secret, by_events: true })
    await full.webhook({ label: 'another', url: 'https://another.example.com' })
    await full.websocket({ media_base64: true })
    await full.chatwoot({ bridge_integration_id: 'b-1', api_token_sealed: secret })
    await full.proxy({ username: 'me', password_sealed: secret })
    await full.settings({ auto_reject_calls: true, call_reject_message: 'No', disable_history_sync: false })
    await full.s3({ endpoint: 'https://s3.example.com', access_key_sealed: secret, secret_key_sealed: secret })

    const response = await list('', account.token)
    const text = await response.text()
    expect(text).not.toMatch(/SECRET|sealed|token|password/i)
    expect(JSON.parse(text).instances[0]).toMatchObject({
      numberJid: '5511999999999@s.whatsapp.net',
      connection: { numberJid: '5511999999999@s.whatsapp.net', state: 'disconnected' },
      profile: {
        name: 'Shop',
        pictureUrl: 'https://pps.example.com/1.jpg',
        isBusiness: true,
        businessName: 'Shop Ltd',
      },
      webhook: {
        label: 'default',
        enabled: true,
        url: 'https://example.com/hook',
        byEvents: true,
        events: ['message.status', 'call.update'],
        mediaBase64: false,
      },
      websocket: { enabled: true, events: [], mediaBase64: true },
      chatwoot: {
        enabled: true,
        status: 'active',
        bridgeIntegrationId: 'b-1',
        baseUrl: 'https://chat.example.com',
        accountId: 7,
        inboxName: 'Shop',
      },
      proxy: { enabled: true, host: 'proxy.example.com', port: '1080', protocol: 'socks5', username: 'me' },
      settings: { autoRejectCalls: true, callRejectMessage: 'No', disableHistorySync: false, ignoreStatus: false },
      s3: {
        enabled: true,
        region: 'eu-central-1',
        bucket: 'media',
        endpoint: 'https://s3.example.com',
        pathPrefix: null,
      },
    })
  })

  test('of an instance whose integrations are switched off shows none of what their rows still hold', async () => {
    const account = await seed(gateway.services.db).account('off')
    const off = await account.instance('off')
    await off.webhook({ enabled: false, events: ['call.update'], media_base64: true })
    await off.websocket({ enabled: false, media_base64: true })
    await off.chatwoot({ enabled: false })
    await off.proxy({ enabled: false })
    await off.s3({ enabled: false })
    const { instances } = (await (await list('', account.token)).json()) as { instances: Record<string, unknown>[] }
    expect(instances[0]).toMatchObject({
      webhook: { label: 'default', enabled: false, url: '', byEvents: false, events: [], mediaBase64: false },
      websocket: { enabled: false, events: [], mediaBase64: false },
      chatwoot: { enabled: false, status: null, baseUrl: null, accountId: null, inboxName: null },
      proxy: { enabled: false, host: null, port: null, protocol: null, username: null },
      s3: { enabled: false, region: null, bucket: null },
    })
  })

  test('stands in the order of creation, then of id', async () => {
    const account = await seed(gateway.services.db).account('ordered')
    const at = (second: number) => new Date(Date.UTC(2026, 0, 1, 0, 0, second))
    const [last, first, tieA, tieB] = await Promise.all(
      ['last', 'first', 'tie-a', 'tie-b'].map((name) => account.instance(name)),
    )
    await last?.facts({ created_at: at(9) })
    await first?.facts({ created_at: at(1) })
    await tieA?.facts({ created_at: at(5) })
    await tieB?.facts({ created_at: at(5) })
    const ties = [tieA, tieB].sort((a, b) => String(a?.id).localeCompare(String(b?.id))).map((tie) => tie?.name)
    expect(await namesOf(await list('', account.token))).toEqual(['first', ...ties, 'last'])
  })
})

describe('conditional requests', () => {
  test('are answered with 304 when nothing changed, and only then', async () => {
    const first = await list('')
    const etag = first.headers.get('etag') ?? ''
    expect(etag).toMatch(/^"[\w-]+"$/)
    expect((await list('')).status).toBe(200)
    for (const tag of [etag, `W/${etag}`, `"x", ${etag}`, '*']) {
      const again = await list('', shop.token, { 'if-none-match': tag })
      expect([again.status, await again.text()]).toEqual([304, ''])
      expect(again.headers.get('x-ratelimit-remaining')).not.toBeNull()
    }
    expect((await list('', shop.token, { 'if-none-match': '"x"' })).status).toBe(200)
  })

  test('do not tell one tenant that another has the same answer', async () => {
    const [a, b] = await Promise.all(['empty-a', 'empty-b'].map((name) => seed(gateway.services.db).account(name)))
    const [ofA, ofB] = await Promise.all([list('', a?.token), list('', b?.token)])
    expect(await ofA.text()).toBe(await ofB.text())
    expect(ofA.headers.get('etag')).not.toBe(ofB.headers.get('etag'))
  })
})

test('HEAD answers like GET, without the body', async () => {
  const get = await list('?instanceName=sales')
  const head = await fetch(`${gateway.url}/api/instance/list?instanceName=sales`, {
    method: 'HEAD',
    headers: { token: shop.token },
  })
  expect([head.status, await head.text()]).toEqual([200, ''])
  for (const name of ['content-length', 'etag', 'content-type'])
    expect(head.headers.get(name)).toBe(get.headers.get(name))
})

test('a GET that claims to carry JSON is normal', async () => {
  const response = await list('', shop.token, { 'content-type': 'application/json', accept: 'text/html' })
  expect(response.status).toBe(200)
})
