import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { ConnectionStatesDocument, EverythingDocument } from './generated/graphql.ts'
import { type SeededAccount, seed } from './seed.ts'
import { startGatewayForTest, startTestGateway, type TestGateway } from './testkit.ts'

const SIZES = [1, 10, 1_000]

let gateway: TestGateway
const accounts = new Map<number, SeededAccount>()

beforeAll(async () => {
  gateway = await startTestGateway()
  for (const size of SIZES) {
    const account = await seed(gateway.services.db).account(`has ${size}`)
    await account.instances(size)
    accounts.set(size, account)
  }
})
afterAll(() => gateway.close())

/** The tables that the statements of one request read when nothing is remembered, the token's first. */
async function tablesReadBy(request: (token: string) => Promise<unknown>, size = 10): Promise<string[]> {
  gateway.services.readModel.drop({ kind: 'everything' })
  const token = accounts.get(size)?.token ?? ''
  gateway.statements.length = 0
  await request(token)
  const tables = gateway.statements.map((sql) => /from "(\w+)"/.exec(sql)?.[1] ?? sql)
  gateway.statements.length = 0
  await request(token)
  expect(gateway.statements, 'the same request again').toEqual([])
  return tables
}

const query = (text: string, variables?: object) => async (token: string) => {
  const { errors } = await gateway.post(text, token, { variables })
  expect(errors).toBeUndefined()
}

const INTEGRATIONS = ['webhooks', 'websockets', 'chatwoots', 'proxies', 'settings', 's3s']

describe.each(SIZES)('with %i instances', (size) => {
  test('every field of every kind costs one statement a kind', async () => {
    const tables = await tablesReadBy((token) => gateway.graphql(EverythingDocument, {}, token), size)
    // The profile's facts stand in the instances' table.
    expect(tables.toSorted()).toEqual(['tokens', 'instances', 'instances', ...INTEGRATIONS].toSorted())
  })
  test('the REST list costs the same', async () => {
    const tables = await tablesReadBy((token) => gateway.get('/api/instance/list', token), size)
    expect(tables.toSorted()).toEqual(['tokens', 'instances', 'instances', ...INTEGRATIONS].toSorted())
  })
  test('the connection costs none', async () => {
    const tables = await tablesReadBy((token) => gateway.graphql(ConnectionStatesDocument, {}, token), size)
    expect(tables).toEqual(['tokens', 'instances'])
  })
  test('counting them costs one', async () => {
    const tables = await tablesReadBy(query('{ viewer { account { instanceCount } } }'), size)
    expect(tables).toEqual(['tokens', 'accounts', 'instances'])
  })
})

test('a kind that is not selected costs none', async () => {
  expect(await tablesReadBy(query('{ instances { name proxy { host } } }'))).toEqual(['tokens', 'instances', 'proxies'])
  expect(await tablesReadBy(query('{ instances { name } }'))).toEqual(['tokens', 'instances'])
  expect(await tablesReadBy(query('{ __typename }'))).toEqual(['tokens'])
})

test('two aliases share a kind, and the webhook shares its kind with the webhooks', async () => {
  const tables = await tablesReadBy(
    query('{ instances { a: s3 { bucket } b: s3 { region } webhook { url } webhooks { label } } }'),
  )
  expect(tables.toSorted()).toEqual(['instances', 's3s', 'tokens', 'webhooks'])
})

test('root fields of one operation share the list', async () => {
  const text = `query ($names: [String]) {
    a: instances { proxy { host } }
    b: instances(names: $names) { proxy { host } }
    c: instance(name: "number-00003") { proxy { host } }
  }`
  expect(await tablesReadBy(query(text, { names: ['number-00001', null, 'nobody'] }))).toEqual([
    'tokens',
    'instances',
    'proxies',
  ])
})

describe('single instances, pages and lists', () => {
  const text = `query ($n: ID!, $m: ID!) {
    n: node(id: $n) { ... on Instance { webhook { url } profile { name } } }
    m: node(id: $m) { ... on Instance { webhook { url } s3 { bucket } } }
    all: instances { webhook { url } s3 { bucket } }
    one: instance(name: "number-00003") { webhook { url } }
    page: instancesConnection(first: 3) { nodes { webhook { url } profile { name } } }
    viewer { account { instanceCount } }
  }`
  const PAGES = `{
    a: instancesConnection(first: 2) { nodes { name } pageInfo { endCursor } }
    b: instancesConnection(first: 2) { edges { node { proxy { host } } } totalCount }
  }`
  const idsOf = async (from: TestGateway, token = '') => {
    const [first, ...others] = (await from.graphql(EverythingDocument, {}, token)).instances.map(({ id }) => id)
    return { n: first, m: others[4] }
  }

  test('share every kind below them, and all come from one list', async () => {
    const ids = await idsOf(gateway, accounts.get(10)?.token)
    // The profiles stand in the instances' table, too.
    expect((await tablesReadBy(query(text, ids))).toSorted()).toEqual(
      ['accounts', 'instances', 'instances', 's3s', 'tokens', 'webhooks'].toSorted(),
    )
    expect((await tablesReadBy(query(PAGES))).toSorted()).toEqual(['instances', 'proxies', 'tokens'])
  })

  test('without memory share every kind below them, and a page is read once', async () => {
    const plain = await startGatewayForTest({ readCacheMb: 0 })
    const shop = await seed(plain.services.db).account('shop')
    await shop.instances(10)
    const variables = await idsOf(plain, shop.token)
    const tablesOf = async (question: string) => {
      plain.statements.length = 0
      expect((await plain.post(question, shop.token, { variables })).errors).toBeUndefined()
      return plain.statements.map((statement) => /from "(\w+)"/.exec(statement)?.[1]).toSorted()
    }
    // The lists, the page, the single ones, their profiles and the count all stand in the instances' table.
    expect(await tablesOf(text)).toEqual(['accounts', ...Array(5).fill('instances'), 's3s', 'tokens', 'webhooks'])
    expect(await tablesOf(PAGES)).toEqual(['instances', 'instances', 'proxies', 'tokens'])
  })
})

test('an empty list of names asks the database for nothing', async () => {
  expect(await tablesReadBy(query('{ instances(names: []) { name proxy { host } } }'))).toEqual(['tokens'])
})

test('a thousand names are one statement, and one more name is refused', async () => {
  const names = Array.from({ length: 1_000 }, (_, index) => `number-${String(index).padStart(5, '0')}`)
  const text = 'query ($names: [String]) { instances(names: $names) { name } }'
  expect(await tablesReadBy(query(text, { names }), 1_000)).toEqual(['tokens', 'instances'])
  const { errors } = await gateway.post(text, accounts.get(10)?.token, { variables: { names: [...names, 'x'] } })
  expect(errors?.[0]?.extensions).toEqual({ code: 'BAD_USER_INPUT', field: 'names' })
})

test('no statement of a read names a sealed column but to see whether it is null', async () => {
  gateway.statements.length = 0
  await gateway.graphql(EverythingDocument, {}, accounts.get(10)?.token)
  for (const sql of gateway.statements) expect(sql.replaceAll(/"\w+_sealed" is not null/g, '')).not.toContain('sealed')
})
