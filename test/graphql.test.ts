import { sql } from 'kysely'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { ConnectionStatesDocument, EverythingDocument, InstanceNamesDocument } from './generated/graphql.ts'
import { type SeededAccount, type SeededInstance, seed } from './seed.ts'
import { startGatewayForTest, startTestGateway, type TestGateway } from './testkit.ts'

let gateway: TestGateway
let shop: SeededAccount
let full: SeededInstance

const secret = Buffer.from('SECRET')

beforeAll(async () => {
  gateway = await startTestGateway()
  shop = await seed(gateway.services.db).account('shop')
  full = await shop.instance('full')
  await full.facts({ profile_name: 'Shop', is_business: true, business_name: 'Shop Ltd' })
  await full.webhook({ events: ['message.status', 'call.update'], authorization_sealed: secret })
  await full.webhook({ label: 'backup', enabled: false, url: 'https://forgotten.example.com', events: ['call.update'] })
  await full.websocket({ media_base64: true })
  await full.chatwoot({ status: 'error', last_error: 'The inbox is gone', api_token_sealed: secret })
  await full.proxy({ username: 'me', password_sealed: secret })
  await full.settings({ auto_reject_calls: true, call_reject_message: 'No' })
  await full.s3({ path_prefix: 'media/', access_key_sealed: secret, secret_key_sealed: secret })
  await shop.instance('bare')
})
afterAll(() => gateway.close())

const everything = async (name: string) =>
  (await gateway.graphql(EverythingDocument, { names: [name] }, shop.token)).instances[0]

describe('an instance', () => {
  test('shows everything that is configured, and of a secret only that there is one', async () => {
    const instance = await everything('full')
    expect(JSON.stringify(instance)).not.toContain('SECRET')
    const webhook = {
      label: 'default',
      enabled: true,
      url: 'https://example.com/hook',
      hasAuthorization: true,
      byEvents: false,
      events: ['MESSAGE_STATUS', 'CALL_UPDATE'],
      mediaBase64: false,
    }
    expect(instance).toMatchObject({
      id: full.id,
      name: 'full',
      connection: { state: 'DISCONNECTED', displayStatus: 'Disconnected' },
      profile: { name: 'Shop', pictureUrl: null, isBusiness: true, businessName: 'Shop Ltd' },
      webhook,
      webhooks: [
        {
          label: 'backup',
          enabled: false,
          url: null,
          hasAuthorization: false,
          byEvents: false,
          events: [],
          mediaBase64: false,
        },
        webhook,
      ],
      websocket: {
        enabled: true,
        events: ['MESSAGE_EXCHANGE', 'MESSAGE_STATUS', 'CALL_UPDATE', 'GROUP_FLOW', 'INSTANCE_STATE', 'LABEL_UPDATE'],
        mediaBase64: true,
      },
      chatwoot: {
        enabled: true,
        status: 'ERROR',
        lastError: 'The inbox is gone',
        baseUrl: 'https://chat.example.com',
        accountId: 7,
        inboxName: 'Shop',
        hasApiToken: true,
      },
      proxy: {
        enabled: true,
        host: 'proxy.example.com',
        port: 1080,
        protocol: 'SOCKS5',
        username: 'me',
        hasPassword: true,
      },
      settings: { autoRejectCalls: true, callRejectMessage: 'No', disableHistorySync: true },
      s3: {
        enabled: true,
        region: 'eu-central-1',
        bucket: 'media',
        endpoint: null,
        pathPrefix: 'media/',
        hasCredentials: true,
      },
    })
  })

  test('without configuration has every integration off, and none is null', async () => {
    expect(await everything('bare')).toMatchObject({
      profile: { name: null, pictureUrl: null, isBusiness: false, businessName: null },
      webhook: { label: 'default', enabled: false, url: null, hasAuthorization: false, events: [] },
      webhooks: [],
      websocket: { enabled: false, events: [], mediaBase64: false },
      chatwoot: { enabled: false, status: null, hasApiToken: false },
      proxy: { enabled: false, port: null, protocol: null, hasPassword: false },
      settings: { autoRejectCalls: false, callRejectMessage: '', disableHistorySync: true, ignoreStatus: false },
      s3: { enabled: false, bucket: null, hasCredentials: false },
    })
  })
})

describe('the connection', () => {
  const connectionOf = async (name: string) =>
    (await gateway.graphql(ConnectionStatesDocument, { names: [name] }, shop.token)).instances[0]?.connection

  test('of a new instance is a truthful disconnected since its creation', async () => {
    const { createdAt } = (await everything('bare')) ?? {}
    expect(await connectionOf('bare')).toEqual({
      state: 'DISCONNECTED',
      desiredState: 'DISCONNECTED',
      numberJid: null,
      presenceStatus: 'UNAVAILABLE',
      displayStatus: 'Disconnected',
      since: createdAt,
      observedAt: null,
      sequence: expect.any(Number),
      reason: {
        code: 'NOT_PAIRED',
        message: 'This instance was never paired with a phone.',
        whatsappCode: null,
        nextStep: 'PAIR',
        retryAt: null,
      },
    })
  })

  test('of a paired instance without a session keeps its number and says that it was stopped', async () => {
    const paired = await shop.instance('paired')
    await paired.facts({ number_jid: '5511999999999@s.whatsapp.net', paired_at: new Date() })
    expect(await connectionOf('paired')).toMatchObject({
      state: 'DISCONNECTED',
      numberJid: '5511999999999@s.whatsapp.net',
      reason: { code: 'STOPPED', nextStep: 'CONNECT' },
    })
  })

  test('of one that should be connected and is not never claims to be', async () => {
    const wanted = await shop.instance('wanted')
    await wanted.facts({ number_jid: '1@s.whatsapp.net', paired_at: new Date(), desired_state: 'connected' })
    expect(await connectionOf('wanted')).toMatchObject({
      state: 'DISCONNECTED',
      desiredState: 'CONNECTED',
      reason: { code: 'UNKNOWN', nextStep: 'CONNECT' },
    })
  })

  test('of one that was logged out says so, in REST’s word too', async () => {
    const loggedOutAt = new Date('2026-01-02T03:04:05.678Z')
    const ended = await shop.instance('ended')
    await ended.facts({ number_jid: '1@s.whatsapp.net', paired_at: new Date(0), logged_out_at: loggedOutAt })
    expect(await connectionOf('ended')).toMatchObject({
      state: 'LOGGED_OUT',
      displayStatus: 'Logged out',
      since: '2026-01-02T03:04:05.678Z',
      reason: { code: 'LOGGED_OUT', nextStep: 'PAIR' },
    })
    const rest = (await (await gateway.get('/api/instance/list?instanceName=ended', shop.token)).json()) as any
    expect([rest.instances[0].status, rest.instances[0].connection.state]).toEqual(['loggedout', 'loggedout'])
  })
})

describe('instances(names:)', () => {
  const names = async (text: string, variables?: object) =>
    (await gateway.post(text, shop.token, { variables })).data?.instances.map(({ name }: { name: string }) => name)

  test.each([
    ['{ instances(names: null) { name } }', undefined, ['full', 'bare']],
    ['{ instances(names: []) { name } }', undefined, []],
    ['{ instances(names: "bare") { name } }', undefined, ['bare']],
    ['{ instances(names: ["bare", null, "nobody", "bare"]) { name } }', undefined, ['bare']],
    ['query ($n: [String]) { instances(names: $n) { name } }', { n: [null] }, []],
    ['query ($n: [String!]) { instances(names: $n) { name } }', { n: ['bare', 'full'] }, ['full', 'bare']],
    ['query ($n: [String!]!) { instances(names: $n) { name } }', { n: [' bare', 'Full', 'bare,full'] }, []],
  ])('%s %j', async (text, variables, expected) => {
    expect((await names(text, variables)).filter((name: string) => ['full', 'bare'].includes(name))).toEqual(expected)
  })

  test('a single unknown name is an empty list: the 404 is REST’s', async () => {
    expect((await gateway.graphql(InstanceNamesDocument, { names: ['nobody'] }, shop.token)).instances).toEqual([])
  })
})

describe('when one kind cannot be read', () => {
  test('it is null beside a masked error, the rest stands, and the cause is logged once', async () => {
    const broken = await startGatewayForTest()
    const account = await seed(broken.services.db).account('shop')
    await account.instances(3)
    await sql`alter table proxies rename to proxies_elsewhere`.execute(broken.services.db)
    broken.log.length = 0

    const answer = await broken.post(
      '{ instances { name connection { state } proxy { host } s3 { enabled } } }',
      account.token,
      {
        headers: { 'x-request-id': 'req-1' },
      },
    )
    expect(answer.status).toBe(200)
    expect(answer.data?.instances).toHaveLength(3)
    for (const instance of answer.data?.instances ?? []) {
      expect(instance).toMatchObject({ connection: { state: 'DISCONNECTED' }, proxy: null, s3: { enabled: false } })
    }
    expect(answer.errors).toHaveLength(3)
    expect(answer.errors?.[0]).toMatchObject({
      message: 'Internal server error',
      path: ['instances', 0, 'proxy'],
      extensions: { code: 'INTERNAL_SERVER_ERROR', requestId: 'req-1' },
    })
    expect(JSON.stringify(answer)).not.toContain('proxies')
    const logged = broken.log.filter(({ level }) => level === 'error' || Number(level) >= 50)
    expect(logged).toHaveLength(1)
    expect(logged[0]).toMatchObject({ requestId: 'req-1', err: { message: expect.stringContaining('proxies') } })

    const rest = await broken.get('/api/instance/list', account.token)
    expect(rest.status).toBe(500)
    expect(await rest.json()).toEqual({ success: false, error: { message: 'Internal server error' } })
  })
})
