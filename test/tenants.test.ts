import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import {
  ConnectionStatesDocument,
  InstanceByNameDocument,
  InstanceNamesDocument,
  NodeByIdDocument,
  WhoAmIDocument,
} from './generated/graphql.ts'
import { schema } from '../src/graphql/schema.ts'
import { type SeededAccount, type SeededInstance, seed } from './seed.ts'
import { startTestGateway, type TestGateway } from './testkit.ts'

/** Two accounts that use the same name once, and every way to name an instance. */
let gateway: TestGateway
let ann: SeededAccount
let bob: SeededAccount
let annsOwn: SeededInstance
let annsShared: SeededInstance
let bobsOwn: SeededInstance
let bobsShared: SeededInstance

beforeAll(async () => {
  gateway = await startTestGateway()
  ann = await seed(gateway.services.db).account('ann')
  bob = await seed(gateway.services.db).account('bob')
  annsOwn = await ann.instance('anns')
  annsShared = await ann.instance('shared')
  bobsOwn = await bob.instance('bobs')
  bobsShared = await bob.instance('shared')
})
afterAll(() => gateway.close())

const viewers = {
  ann: () => ({ token: ann.token, sees: [annsOwn, annsShared] }),
  bob: () => ({ token: bob.token, sees: [bobsOwn, bobsShared] }),
  'instance anns': () => ({ token: annsOwn.token, sees: [annsOwn] }),
  'instance shared of ann': () => ({ token: annsShared.token, sees: [annsShared] }),
  'instance bobs': () => ({ token: bobsOwn.token, sees: [bobsOwn] }),
  'instance shared of bob': () => ({ token: bobsShared.token, sees: [bobsShared] }),
}
const filters: { filter: string[] | null }[] = [
  { filter: null },
  { filter: [] },
  { filter: ['anns'] },
  { filter: ['bobs'] },
  { filter: ['shared'] },
  { filter: ['nobody'] },
  { filter: ['anns', 'bobs', 'shared', 'nobody'] },
]

describe.each(Object.entries(viewers))('%s', (who, viewer) => {
  const isInstance = who.startsWith('instance')

  test.each(filters)('sees nothing foreign in a list of $filter', async ({ filter }) => {
    const { token, sees } = viewer()
    const visible = sees.filter(({ name }) => isInstance || filter === null || filter.includes(name))

    const { instances } = await gateway.graphql(InstanceNamesDocument, { names: filter }, token)
    expect(instances.map(({ name }) => name)).toEqual(visible.map(({ name }) => name))

    const query = filter === null ? '' : `?instanceName=${filter.join(',') || ','}`
    const rest = await gateway.get(`/api/instance/list${query}`, token)
    if (!isInstance && filter?.length === 1 && visible.length === 0) expect(rest.status).toBe(404)
    else {
      const body = (await rest.json()) as { instances: { id: string }[] }
      expect(body.instances.map(({ id }) => id)).toEqual(visible.map(({ id }) => id))
    }
  })

  test('finds by name and by id exactly what it sees', async () => {
    const { token, sees } = viewer()
    for (const name of ['anns', 'bobs', 'shared', 'nobody']) {
      const { instance } = await gateway.graphql(InstanceByNameDocument, { name }, token)
      expect(instance?.id ?? null).toBe(sees.find((seen) => seen.name === name)?.id ?? null)
    }
    for (const { id, name } of [annsOwn, annsShared, bobsOwn, bobsShared]) {
      const { node } = await gateway.graphql(NodeByIdDocument, { id }, token)
      expect(node).toEqual(sees.some((seen) => seen.id === id) ? { __typename: 'Instance', id, name } : null)
    }
  })

  test('a foreign instance and a missing one cannot be told apart', async () => {
    const { token, sees } = viewer()
    const foreign = [annsOwn, bobsOwn].find(({ id }) => !sees.some((seen) => seen.id === id))
    const answers = await Promise.all(
      [foreign?.name ?? '', 'nobody'].map((name) => gateway.post(`{ instance(name: "${name}") { id } }`, token)),
    )
    expect(answers[0]?.data).toEqual(answers[1]?.data)
    expect(answers.map(({ errors }) => errors)).toEqual([undefined, undefined])
  })

  test('is told who it is, and an instance nothing of its account', async () => {
    const { token, sees } = viewer()
    const { viewer: me } = await gateway.graphql(WhoAmIDocument, {}, token)
    if (isInstance) expect(me).toMatchObject({ kind: 'INSTANCE', account: null, instance: { id: sees[0]?.id } })
    else
      expect(me).toMatchObject({
        kind: 'ACCOUNT',
        account: { name: who, instanceCount: 2, instanceQuota: null },
        instance: null,
      })
  })

  test('refetches an account only when it is that account', async () => {
    const { token } = viewer()
    for (const account of [ann, bob]) {
      const { node } = await gateway.graphql(NodeByIdDocument, { id: account.id }, token)
      expect(node).toEqual(who === account.name ? { __typename: 'Account', id: account.id, name: account.name } : null)
    }
  })
})

test.each(['', 'x', '00000000-0000-0000-0000-000000000000', "' or 1=1", '\0', 'NaN'])(
  'no node has the id %j',
  async (id) => {
    expect((await gateway.graphql(NodeByIdDocument, { id }, ann.token)).node).toBeNull()
  },
)

test.each(['\0', '\ud800', '\ufffd', '', ' ', "'; drop table instances", 'x'.repeat(100_000)])(
  'no instance is named %.20j',
  async (name) => {
    expect((await gateway.graphql(InstanceByNameDocument, { name }, ann.token)).instance).toBeNull()
    expect((await gateway.graphql(ConnectionStatesDocument, { names: [name] }, ann.token)).instances).toEqual([])
  },
)

describe('no mutation reaches a foreign instance', () => {
  const instanceOf = { config: {} }
  const mutations: [string, string, object][] = [
    ['setWebhook', 'SetWebhookInput', { config: { url: 'https://example.com' } }],
    ['deleteWebhook', 'DeleteWebhookInput', { label: 'default' }],
    ['setWebsocket', 'SetWebsocketInput', instanceOf],
    ['setChatwoot', 'SetChatwootInput', { config: { baseUrl: 'https://example.com', accountId: 1, inboxName: 'i' } }],
    ['setProxy', 'SetProxyInput', { config: { host: 'example.com', port: 1 } }],
    ['updateSettings', 'UpdateSettingsInput', { patch: { ignoreStatus: true } }],
    ['setS3', 'SetS3Input', { config: { region: 'r', bucket: 'media' } }],
    ['rotateInstanceToken', 'RotateInstanceTokenInput', {}],
    ['deleteInstance', 'DeleteInstanceInput', {}],
    ['connectInstance', 'ConnectInstanceInput', {}],
    ['reconnectInstance', 'ReconnectInstanceInput', {}],
    ['disconnectInstance', 'DisconnectInstanceInput', {}],
    ['logoutInstance', 'LogoutInstanceInput', {}],
  ]
  const dump = async () => {
    const tables = ['instances', 'tokens', 'webhooks', 'websockets', 'chatwoots', 'proxies', 'settings', 's3s'] as const
    const used = (row: Record<string, unknown>) => ({ ...row, last_used_at: null })
    const rows = await Promise.all(tables.map((table) => gateway.services.db.selectFrom(table).selectAll().execute()))
    return JSON.stringify(rows.flat().map((row) => used(row as Record<string, unknown>)))
  }

  test('every mutation of the schema that takes an instance is tried', () => {
    const tried = mutations.map(([name]) => name)
    expect(Object.keys(schema.getMutationType()?.getFields() ?? {}).toSorted()).toEqual(
      [...tried, 'createInstance'].toSorted(),
    )
  })

  test.each(mutations)('%s', async (name, type, rest) => {
    const before = await dump()
    for (const [who, viewer] of Object.entries(viewers)) {
      const { token, sees } = viewer()
      const seen = new Set(sees.map(({ id }) => id))
      const foreign = [annsOwn, annsShared, bobsOwn, bobsShared].filter(({ id }) => !seen.has(id))
      const refs = [
        ...foreign.map(({ id }) => ({ id })),
        ...foreign
          .map((instance) => ({ name: instance.name }))
          .filter((ref) => !sees.some((own) => own.name === ref.name)),
      ]
      const missing = [{ id: '11111111-1111-4111-8111-111111111111' }, { id: 'x' }, { name: 'nobody' }, { name: '\0' }]
      const answers = await Promise.all(
        [...refs, ...missing].map(async (instance) => {
          const query = `mutation ($input: ${type}!) { ${name}(input: $input) { __typename } }`
          const { status, data, errors } = await gateway.post(query, token, {
            variables: { input: { instance, ...rest } },
          })
          return JSON.stringify({ status, data, errors })
        }),
      )
      const needsAccount = ['deleteInstance', 'rotateInstanceToken'].includes(name) && who.startsWith('instance')
      expect(new Set(answers).size).toBe(1)
      expect(answers[0]).toContain(needsAccount ? 'FORBIDDEN' : 'INSTANCE_NOT_FOUND')
    }
    expect(await dump()).toBe(before)
  })
})
