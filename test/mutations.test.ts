import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import {
  CreateInstanceDocument,
  DeleteInstanceDocument,
  DeleteWebhookDocument,
  EverythingDocument,
  RotateInstanceTokenDocument,
  SetChatwootDocument,
  SetProxyDocument,
  SetS3Document,
  SetWebhookDocument,
  SetWebsocketDocument,
  UpdateSettingsDocument,
  WhoAmIDocument,
} from './generated/graphql.ts'
import { type SeededAccount, seed } from './seed.ts'
import { startTestGateway, type TestGateway } from './testkit.ts'

let gateway: TestGateway
let shop: SeededAccount

beforeAll(async () => {
  gateway = await startTestGateway()
  shop = await seed(gateway.services.db).account('shop')
})
afterAll(() => gateway.close())

let counter = 0
const newInstance = () => shop.instance(`instance-${counter++}`)

/** The code and field of a refused mutation. */
async function refusal(document: { toString(): string }, input: object, token = shop.token) {
  const { errors, data } = await gateway.post(document.toString(), token, { variables: { input } })
  expect(Object.values(data ?? { nothing: null })).toEqual([null])
  return errors?.[0]?.extensions
}

const everything = async (name: string, token = shop.token) =>
  (await gateway.graphql(EverythingDocument, { names: [name] }, token)).instances[0]

describe('createInstance', () => {
  test('makes a disconnected instance whose token, shown once, works at once', async () => {
    const { createInstance } = await gateway.graphql(CreateInstanceDocument, { input: { name: ' fresh ' } }, shop.token)
    expect(createInstance).toMatchObject({
      token: expect.stringMatching(/^sbi_[\w-]{32}$/),
      instance: { name: 'fresh', connection: { state: 'DISCONNECTED' } },
    })
    const { viewer } = await gateway.graphql(WhoAmIDocument, {}, createInstance?.token)
    expect(viewer.instance).toMatchObject({ id: createInstance?.instance.id, name: 'fresh' })
  })

  test('is not stored by caches, since its answer has a token in it', async () => {
    const { headers } = await gateway.post(CreateInstanceDocument.toString(), shop.token, {
      variables: { input: { name: 'uncached' } },
    })
    expect(headers.get('cache-control')).toBe('no-store')
  })

  test('configures all integrations at once', async () => {
    const input = {
      name: 'configured',
      token: 'chosen-token-of-at-least-32-characters',
      webhook: { url: 'https://example.com/hook', authorization: 'Bearer x', events: ['CALL_UPDATE', 'GROUP_FLOW'] },
      websocket: { events: ['LABEL_UPDATE'] },
      chatwoot: { baseUrl: 'https://chat.example.com/', accountId: 3, inboxName: 'Shop', apiToken: 't' },
      proxy: { host: 'proxy.example.com', port: 8080, username: 'u', password: 'p' },
      settings: { ignoreStatus: true },
      s3: { region: 'eu-west-1', bucket: 'media', credentials: { accessKey: 'a', secretKey: 's' } },
    }
    const { createInstance } = await gateway.graphql(CreateInstanceDocument, { input: input as never }, shop.token)
    expect(createInstance?.token).toBe(input.token)
    expect(await everything('configured', input.token)).toMatchObject({
      webhook: {
        enabled: true,
        url: 'https://example.com/hook',
        hasAuthorization: true,
        events: ['CALL_UPDATE', 'GROUP_FLOW'],
      },
      websocket: { enabled: true, events: ['LABEL_UPDATE'] },
      chatwoot: { enabled: true, baseUrl: 'https://chat.example.com', accountId: 3, hasApiToken: true },
      proxy: { enabled: true, host: 'proxy.example.com', port: 8080, protocol: 'HTTP', hasPassword: true },
      settings: { ignoreStatus: true, disableHistorySync: true },
      s3: { enabled: true, bucket: 'media', endpoint: null, hasCredentials: true },
    })
  })

  test('is all or nothing', async () => {
    const input = {
      name: 'half',
      webhook: { url: 'https://example.com' },
      proxy: { host: 'proxy.example.com', port: 0 },
    }
    expect(await refusal(CreateInstanceDocument, input)).toEqual({ code: 'BAD_USER_INPUT', field: 'input.proxy.port' })
    expect(await everything('half')).toBeUndefined()
  })

  test.each([
    ['a taken name', { name: 'taken' }, { code: 'INSTANCE_NAME_TAKEN' }],
    ['a name that cannot be one', { name: 'a,b' }, { code: 'BAD_USER_INPUT', field: 'input.name' }],
    ['a weak token', { name: 'x', token: 'short' }, { code: 'BAD_USER_INPUT', field: 'input.token' }],
    [
      'a token with a comma',
      { name: 'x', token: 'a-token-of-32-characters,or-of-two' },
      { code: 'BAD_USER_INPUT', field: 'input.token' },
    ],
    [
      'a token in the reserved form',
      { name: 'x', token: `sbi_${'x'.repeat(40)}` },
      { code: 'BAD_USER_INPUT', field: 'input.token' },
    ],
  ])('refuses %s', async (_what, input, expected) => {
    if (input.name === 'taken') await shop.instance('taken')
    expect(await refusal(CreateInstanceDocument, input)).toEqual(expected)
  })

  test('answers a token that is in use like a weak one, and counts it as a guess', async () => {
    const other = await seed(gateway.services.db).account('somebody else')
    const inUse = 'a-token-that-somebody-else-has-chosen'
    await gateway.graphql(CreateInstanceDocument, { input: { name: 'theirs', token: inUse } }, other.token)
    const answers = await Promise.all(
      [inUse, 'weak'].map((token) =>
        gateway.post(CreateInstanceDocument.toString(), shop.token, { variables: { input: { name: 'guess', token } } }),
      ),
    )
    expect(answers[0]?.errors).toEqual(answers[1]?.errors)
    expect(await everything('guess')).toBeUndefined()
  })

  test('stops at the quota of the account', async () => {
    const small = await seed(gateway.services.db).account('small', 1)
    await gateway.graphql(CreateInstanceDocument, { input: { name: 'one' } }, small.token)
    expect(await refusal(CreateInstanceDocument, { name: 'two' }, small.token)).toEqual({ code: 'QUOTA_EXCEEDED' })
  })

  test('is possible 20 times a minute', async () => {
    const busy = await seed(gateway.services.db).account('busy')
    const aliases = Array.from(
      { length: 20 },
      (_, index) => `a${index}: createInstance(input: { name: "n${index}" }) { token }`,
    )
    const { errors } = await gateway.post(`mutation { ${aliases.join(' ')} }`, busy.token)
    expect(errors).toBeUndefined()
    expect(await refusal(CreateInstanceDocument, { name: 'n20' }, busy.token)).toMatchObject({
      code: 'RATE_LIMITED',
      limit: 20,
    })
  })
})

describe('an instance is named', () => {
  test('by id, which survives nothing, and by name, exactly', async () => {
    const old = await newInstance()
    const input = (instance: object) => ({ input: { instance, config: { events: ['CALL_UPDATE'] } } }) as never
    await gateway.graphql(SetWebsocketDocument, input({ id: old.id }), shop.token)
    await gateway.graphql(SetWebsocketDocument, input({ name: old.name }), shop.token)
    await gateway.graphql(DeleteInstanceDocument, { input: { instance: { id: old.id } } }, shop.token)
    await shop.instance(old.name)
    expect(await refusal(SetWebsocketDocument, { instance: { id: old.id }, config: {} })).toEqual({
      code: 'INSTANCE_NOT_FOUND',
    })
    expect(await refusal(SetWebsocketDocument, { instance: { name: old.name.toUpperCase() }, config: {} })).toEqual({
      code: 'INSTANCE_NOT_FOUND',
    })
  })

  test.each([[{}], [{ id: 'x', name: 'x' }], [{ id: null }]])('not by %j', async (instance) => {
    const { errors } = await gateway.post(SetWebsocketDocument.toString(), shop.token, {
      variables: { input: { instance, config: {} } },
    })
    expect(errors?.[0]?.extensions).toEqual({
      code: 'BAD_USER_INPUT',
      field: expect.stringMatching(/^input\.instance(\.id)?$/),
    })
  })
})

describe('setWebhook', () => {
  test('stores the events in the order written, and REST echoes them', async () => {
    const { name, token } = await newInstance()
    const config = { url: 'https://example.com', events: ['LABEL_UPDATE', 'CALL_UPDATE'] }
    const { setWebhook } = await gateway.graphql(
      SetWebhookDocument,
      { input: { instance: { name }, config } as never },
      token,
    )
    expect(setWebhook?.webhook.events).toEqual(['LABEL_UPDATE', 'CALL_UPDATE'])
    const rest = (await (await gateway.get(`/api/instance/list?instanceName=${name}`, shop.token)).json()) as any
    expect(rest.instances[0].webhook.events).toEqual(['label.update', 'call.update'])
  })

  test('without events means all six, and REST echoes none', async () => {
    const { name } = await newInstance()
    for (const events of [undefined, null]) {
      const config = { url: 'https://example.com', events }
      const { setWebhook } = await gateway.graphql(
        SetWebhookDocument,
        { input: { instance: { name }, config } },
        shop.token,
      )
      expect(setWebhook?.webhook.events).toHaveLength(6)
    }
    const rest = (await (await gateway.get(`/api/instance/list?instanceName=${name}`, shop.token)).json()) as any
    expect(rest.instances[0].webhook.events).toEqual([])
  })

  test('keeps, clears and replaces the authorization as told', async () => {
    const { name } = await newInstance()
    const set = async (config: object) => {
      const input = { instance: { name }, config: { url: 'https://a.example.com', ...config } }
      return (await gateway.graphql(SetWebhookDocument, { input }, shop.token)).setWebhook?.webhook.hasAuthorization
    }
    expect(await set({ authorization: 'Bearer 1' })).toBe(true)
    expect(await set({ mediaBase64: true })).toBe(true)
    expect(await set({ url: 'https://b.example.com' })).toBe(false)
    expect(await set({ url: 'https://b.example.com', authorization: 'Bearer 2' })).toBe(true)
    expect(await set({ url: 'https://c.example.com', authorization: 'Bearer 2' })).toBe(true)
    expect(await set({ url: 'https://c.example.com', authorization: null })).toBe(false)
    expect(await set({ url: 'https://c.example.com' })).toBe(false)
    expect(await set({ authorization: 'Bearer 3' })).toBe(true)
    expect(await set({ enabled: false })).toBe(false)
    expect(await set({})).toBe(false)
  })

  test('with enabled: false clears the rest and keeps the label', async () => {
    const { name } = await newInstance()
    const set = (config: object) =>
      gateway.graphql(SetWebhookDocument, { input: { instance: { name }, label: 'crm', config } }, shop.token)
    await set({ url: 'https://example.com', byEvents: true, mediaBase64: true })
    const { setWebhook } = await set({ enabled: false, url: 'not even an address' })
    expect(setWebhook?.webhook).toEqual({
      label: 'crm',
      enabled: false,
      url: null,
      hasAuthorization: false,
      byEvents: false,
      events: [],
      mediaBase64: false,
    })
    expect((await everything(name))?.webhooks).toMatchObject([{ label: 'crm', enabled: false }])
  })

  test('allows 3 enabled ones', async () => {
    const { name } = await newInstance()
    const instance = { name }
    const config = { url: 'https://example.com' }
    for (const label of ['default', 'b', 'c'])
      await gateway.graphql(SetWebhookDocument, { input: { instance, label, config } }, shop.token)
    expect(await refusal(SetWebhookDocument, { instance, label: 'd', config })).toEqual({ code: 'QUOTA_EXCEEDED' })
    await gateway.graphql(
      SetWebhookDocument,
      { input: { instance, label: 'd', config: { enabled: false } } },
      shop.token,
    )
    await gateway.graphql(SetWebhookDocument, { input: { instance, label: 'c', config } }, shop.token)
    await gateway.graphql(
      SetWebhookDocument,
      { input: { instance, label: 'b', config: { enabled: false } } },
      shop.token,
    )
    await gateway.graphql(SetWebhookDocument, { input: { instance, label: 'd', config } }, shop.token)
  })

  test('and deleteWebhook removes one, or says that there was none', async () => {
    const { name } = await newInstance()
    const input = { instance: { name }, label: 'default' }
    await gateway.graphql(
      SetWebhookDocument,
      { input: { ...input, config: { url: 'https://example.com' } } },
      shop.token,
    )
    const first = await gateway.graphql(DeleteWebhookDocument, { input }, shop.token)
    expect(first.deleteWebhook).toEqual({ deletedLabel: 'default', instance: { webhooks: [] } })
    const second = await gateway.graphql(DeleteWebhookDocument, { input }, shop.token)
    expect(second.deleteWebhook?.deletedLabel).toBeNull()
  })
})

describe('setProxy', () => {
  test('keeps the password only while it goes to the same host, port and user', async () => {
    const { name } = await newInstance()
    const set = async (config: object) => {
      const input = { instance: { name }, config: { host: 'a.example.com', port: 1, username: 'u', ...config } }
      return (await gateway.graphql(SetProxyDocument, { input }, shop.token)).setProxy?.proxy.hasPassword
    }
    for (const changed of [
      { host: 'b.example.com' },
      { port: 2 },
      { username: 'v' },
      { username: null },
      { password: null },
    ]) {
      expect(await set({ password: 'p' })).toBe(true)
      expect(await set({ protocol: 'SOCKS5' })).toBe(true)
      expect(await set(changed)).toBe(false)
    }
  })
  test('stores the host as an address is written', async () => {
    const { name } = await newInstance()
    const input = {
      instance: { name },
      config: { host: 'PROXY.Example.com', port: 65_535, protocol: 'SOCKS5' as const },
    }
    const { setProxy } = await gateway.graphql(SetProxyDocument, { input }, shop.token)
    expect(setProxy?.proxy).toEqual({
      enabled: true,
      host: 'proxy.example.com',
      port: 65_535,
      protocol: 'SOCKS5',
      username: null,
      hasPassword: false,
    })
  })
})

test('setChatwoot keeps the id of its bridge only for the same account at the same address', async () => {
  const instance = await newInstance()
  await instance.chatwoot({ base_url: 'https://a.example.com', account_id: 1, bridge_integration_id: 'bridge-1' })
  const bridgeAfter = async (config: object) => {
    const input = {
      instance: { id: instance.id },
      config: { baseUrl: 'https://a.example.com', accountId: 1, inboxName: 'Shop', ...config },
    }
    await gateway.graphql(SetChatwootDocument, { input }, shop.token)
    return (await everything(instance.name))?.chatwoot?.bridgeIntegrationId
  }
  const bridge = (id: string) =>
    gateway.services.db
      .updateTable('chatwoots')
      .set({ bridge_integration_id: id })
      .where('instance_id', '=', instance.id)
      .execute()
  expect(await bridgeAfter({ inboxName: 'Sales' })).toBe('bridge-1')
  expect(await bridgeAfter({ accountId: 2 })).toBeNull()
  await bridge('bridge-2')
  expect(await bridgeAfter({ accountId: 2, baseUrl: 'https://b.example.com' })).toBeNull()
})

test('setChatwoot keeps its token only for the same address', async () => {
  const { name } = await newInstance()
  const set = async (config: object) => {
    const base = { baseUrl: 'https://a.example.com', accountId: 1, inboxName: 'Inbox' }
    const input = { instance: { name }, config: { ...base, ...config } }
    return (await gateway.graphql(SetChatwootDocument, { input }, shop.token)).setChatwoot?.chatwoot
  }
  expect(await set({ apiToken: 'x' })).toMatchObject({
    enabled: true,
    hasApiToken: true,
    baseUrl: 'https://a.example.com',
  })
  expect(await set({ baseUrl: 'https://a.example.com/', accountId: 2 })).toMatchObject({
    hasApiToken: true,
    accountId: 2,
  })
  expect(await set({ baseUrl: 'https://b.example.com' })).toMatchObject({ hasApiToken: false })
  expect(await set({ enabled: false })).toEqual({
    enabled: false,
    status: null,
    lastError: null,
    baseUrl: null,
    accountId: null,
    inboxName: null,
    hasApiToken: false,
  })
})

test('setS3 keeps its keys only for the same endpoint, both or none', async () => {
  const { name } = await newInstance()
  const credentials = { accessKey: 'a', secretKey: 's' }
  const set = async (config: object) => {
    const input = { instance: { name }, config: { region: 'eu-west-1', bucket: 'media', ...config } }
    return (await gateway.graphql(SetS3Document, { input }, shop.token)).setS3?.s3.hasCredentials
  }
  expect(await set({ credentials })).toBe(true)
  expect(await set({ bucket: 'other', pathPrefix: 'a/b' })).toBe(true)
  expect(await set({ endpoint: 'https://s3.example.com' })).toBe(false)
  expect(await set({ endpoint: 'https://s3.example.com', credentials })).toBe(true)
  expect(await set({ endpoint: 'https://s3.example.com' })).toBe(true)
  expect(await set({ endpoint: null })).toBe(false)
  expect(await set({ credentials })).toBe(true)
  expect(await set({ credentials: null })).toBe(false)
})

test('setWebsocket replaces, and switches off', async () => {
  const { name } = await newInstance()
  const set = async (config: object) =>
    (await gateway.graphql(SetWebsocketDocument, { input: { instance: { name }, config } }, shop.token)).setWebsocket
      ?.websocket
  expect(await set({ events: ['CALL_UPDATE'], mediaBase64: true })).toEqual({
    enabled: true,
    events: ['CALL_UPDATE'],
    mediaBase64: true,
  })
  expect(await set({})).toMatchObject({ enabled: true, mediaBase64: false })
  expect(await set({ enabled: false, mediaBase64: true })).toEqual({ enabled: false, events: [], mediaBase64: false })
})

describe('updateSettings', () => {
  test('changes what is given and leaves the rest', async () => {
    const { name } = await newInstance()
    const set = async (patch: object) =>
      (await gateway.graphql(UpdateSettingsDocument, { input: { instance: { name }, patch } }, shop.token))
        .updateSettings?.settings
    expect(await set({ autoRejectCalls: true, callRejectMessage: 'Não\natendo' })).toMatchObject({
      autoRejectCalls: true,
      callRejectMessage: 'Não\natendo',
      disableHistorySync: true,
    })
    expect(await set({ disableHistorySync: false })).toMatchObject({
      autoRejectCalls: true,
      callRejectMessage: 'Não\natendo',
      disableHistorySync: false,
    })
    expect(await set({ autoRejectCalls: false, callRejectMessage: '' })).toMatchObject({
      autoRejectCalls: false,
      callRejectMessage: '',
      disableHistorySync: false,
    })
  })
  test('takes line breaks as forms of the web send them', async () => {
    const { name } = await newInstance()
    const input = { instance: { name }, patch: { callRejectMessage: 'Please\r\nwrite\n\tto us.' } }
    const { updateSettings } = await gateway.graphql(UpdateSettingsDocument, { input }, shop.token)
    expect(updateSettings?.settings.callRejectMessage).toBe('Please\nwrite\n\tto us.')
  })
  test.each([
    [{}, 'input.patch'],
    [{ ignoreStatus: null }, 'input.patch.ignoreStatus'],
    [{ callRejectMessage: null }, 'input.patch.callRejectMessage'],
    [{ callRejectMessage: 'x'.repeat(1_001) }, 'input.patch.callRejectMessage'],
    [{ callRejectMessage: 'a\0b' }, 'input.patch.callRejectMessage'],
    [{ callRejectMessage: 'a\rb' }, 'input.patch.callRejectMessage'],
  ])('refuses %j', async (patch, field) => {
    const { name } = await newInstance()
    expect(await refusal(UpdateSettingsDocument, { instance: { name }, patch })).toEqual({
      code: 'BAD_USER_INPUT',
      field,
    })
  })
})

describe('a write', () => {
  test('moves updatedAt and is seen by the fields after it, also in the same operation', async () => {
    const { name } = await newInstance()
    const before = await everything(name)
    const query = `mutation ($a: SetProxyInput!, $b: SetProxyInput!) {
      a: setProxy(input: $a) { instance { updatedAt proxy { host } } }
      b: setProxy(input: $b) { proxy { host } instance { updatedAt proxy { host } } }
    }`
    const input = (host: string) => ({ instance: { name }, config: { host, port: 1 } })
    const { data } = await gateway.post(query, shop.token, {
      variables: { a: input('a.example.com'), b: input('b.example.com') },
    })
    expect(data).toMatchObject({
      a: { instance: { proxy: { host: 'a.example.com' } } },
      b: { proxy: { host: 'b.example.com' }, instance: { proxy: { host: 'b.example.com' } } },
    })
    expect(Date.parse(data?.b.instance.updatedAt)).toBeGreaterThan(Date.parse(before?.updatedAt ?? ''))
  })

  test('that fails is null beside its error, and its neighbours keep their answers', async () => {
    const { name } = await newInstance()
    const query = `mutation ($good: SetWebsocketInput!, $bad: SetWebsocketInput!) {
      first: setWebsocket(input: $good) { websocket { enabled } }
      second: setWebsocket(input: $bad) { websocket { enabled } }
      third: setWebsocket(input: $good) { websocket { enabled } }
    }`
    const { data, errors, status } = await gateway.post(query, shop.token, {
      variables: { good: { instance: { name }, config: {} }, bad: { instance: { name: 'nobody' }, config: {} } },
    })
    const fine = { websocket: { enabled: true } }
    expect([status, data]).toEqual([200, { first: fine, second: null, third: fine }])
    expect(errors).toMatchObject([
      { path: ['second'], message: 'Instance not found', extensions: { code: 'INSTANCE_NOT_FOUND' } },
    ])
  })
})

test('rotateInstanceToken ends the old token with the next request', async () => {
  const { name, token } = await newInstance()
  const { rotateInstanceToken } = await gateway.graphql(
    RotateInstanceTokenDocument,
    { input: { instance: { name } } },
    shop.token,
  )
  expect((await gateway.get('/api/instance/list', token)).status).toBe(401)
  expect((await gateway.get('/api/instance/list', rotateInstanceToken?.token)).status).toBe(200)
})

test('deleteInstance ends its token, frees its name and leaves no row behind', async () => {
  const { id, name, token, ...row } = await newInstance()
  await row.webhook()
  await row.settings({ ignore_status: true })
  const { deleteInstance } = await gateway.graphql(
    DeleteInstanceDocument,
    { input: { instance: { name } } },
    shop.token,
  )
  expect(deleteInstance).toEqual({ deletedInstanceId: id, deletedInstanceName: name })
  expect((await gateway.get('/api/instance/list', token)).status).toBe(401)
  for (const table of ['webhooks', 'settings', 'tokens'] as const) {
    expect(await gateway.services.db.selectFrom(table).selectAll().where('instance_id', '=', id).execute()).toEqual([])
  }
  await shop.instance(name)
})

describe('an instance token', () => {
  test('may configure its own instance, by its name or id', async () => {
    const { id, name, token } = await newInstance()
    for (const instance of [{ id }, { name }]) {
      const { setWebsocket } = await gateway.graphql(SetWebsocketDocument, { input: { instance, config: {} } }, token)
      expect(setWebsocket?.websocket.enabled).toBe(true)
    }
  })
  test.each([
    ['createInstance', CreateInstanceDocument, { name: 'x' }],
    ['deleteInstance', DeleteInstanceDocument, { instance: { name: 'x' } }],
    ['rotateInstanceToken', RotateInstanceTokenDocument, { instance: { name: 'x' } }],
  ])('may not %s', async (_name, document, input) => {
    const { token } = await newInstance()
    expect(await refusal(document, input, token)).toEqual({ code: 'FORBIDDEN' })
  })
})
