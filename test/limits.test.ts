import { getIntrospectionQuery } from 'graphql'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type SeededAccount, seed } from './seed.ts'
import { startGatewayForTest, startTestGateway, type TestGateway } from './testkit.ts'

let gateway: TestGateway
let shop: SeededAccount

beforeAll(async () => {
  gateway = await startTestGateway()
  shop = await seed(gateway.services.db).account('shop')
})
afterAll(() => gateway.close())

const repeat = (count: number, write: (index: number) => string) =>
  Array.from({ length: count }, (_, index) => write(index)).join(' ')
const nested = (depth: number) => `${'{ node '.repeat(depth)}${'}'.repeat(depth)}`

/** Doubles twenty times over: a million fields in a few lines. */
const fragmentBomb = `{ viewer { ...f0 } } ${repeat(20, (i) => `fragment f${i} on Viewer { ...f${i + 1} ...f${i + 1} }`)} fragment f20 on Viewer { kind }`
const rootBomb = `{ ...f0 } ${repeat(20, (i) => `fragment f${i} on Query { ...f${i + 1} ...f${i + 1} }`)} fragment f20 on Query { viewer { kind } }`
const aliases = (count: number) => `{ viewer { ${repeat(count, (i) => `a${i}: kind`)} } }`
const fields = (count: number) => `{ viewer { ${repeat(count - 1, () => 'kind')} } }`
const roots = (count: number) => `{ ${repeat(count, () => 'viewer { kind }')} }`

describe('a document is refused as too complex', () => {
  test.each([
    ['deeper than 12', nested(13)],
    ['with more than 200 fields', fields(201)],
    ['with more than 20 root fields', roots(21)],
    ['with more than 20 aliases', aliases(21)],
    ['with more than 2,000 tokens', `{ viewer { kind ${repeat(2_000, () => '@a')} } }`],
    ['with a megabyte of brackets', '{a'.repeat(400_000)],
    ['with fragments that multiply', fragmentBomb],
    ['with fragments that multiply at the root', rootBomb],
    [
      'with hundreds of fields in a fragment that nothing uses',
      `{ __typename } fragment f on Query { ${repeat(490, () => 'viewer { kind }')} }`,
    ],
    ['in an operation that is not the one asked for', `query A { viewer { kind } } query B ${aliases(21)}`],
  ])('%s, at once', async (_what, query) => {
    const startedAt = process.cpuUsage()
    const { status, errors, data } = await gateway.post(query, shop.token, {
      ...(query.startsWith('query A') && { operationName: 'A' }),
      headers: { accept: 'application/graphql-response+json' },
    })
    const { user, system } = process.cpuUsage(startedAt)
    expect([status, data]).toEqual([400, undefined])
    expect(errors).toHaveLength(1)
    expect(errors?.[0]?.extensions).toEqual({ code: 'QUERY_TOO_COMPLEX' })
    expect(errors?.[0]?.message).toMatch(/at most|more than/)
    // Generous: a document that got as far as the quadratic rules of validation costs seconds.
    expect((user + system) / 1_000).toBeLessThan(500)
  })

  test.each([
    ['12 deep', nested(12), 'GRAPHQL_VALIDATION_FAILED'],
    ['with 200 fields', fields(200), undefined],
    ['with 20 root fields', roots(20), undefined],
    ['with 20 aliases', aliases(20), undefined],
    [
      'with a cycle of fragments',
      '{ viewer { ...a } } fragment a on Viewer { ...b } fragment b on Viewer { ...a }',
      'GRAPHQL_VALIDATION_FAILED',
    ],
    [
      'with a large knot of fragments',
      `{ viewer { ...f0 } } ${repeat(120, (i) => `fragment f${i} on Viewer { ...f${(i + 1) % 120} ...f${(i + 2) % 120} }`)}`,
      'GRAPHQL_VALIDATION_FAILED',
    ],
  ])('but not %s', async (_what, query, code) => {
    const { errors } = await gateway.post(query, shop.token)
    expect(errors?.[0]?.extensions.code).toBe(code)
  })
})

describe('introspection', () => {
  const full = getIntrospectionQuery({
    descriptions: true,
    specifiedByUrl: true,
    schemaDescription: true,
    inputValueDeprecation: true,
    oneOf: true,
  })

  test('passes, with and without a token, and tells the descriptions', async () => {
    for (const token of [undefined, shop.token]) {
      const { data, errors } = await gateway.post(full, token)
      expect(errors).toBeUndefined()
      expect(data?.__schema.description).toContain('a GraphQL gateway over WhatsApp instances')
    }
  })

  test('has a ceiling of its own', async () => {
    const deep = `{ __type(name: "Query") ${'{ ofType '.repeat(20)}{ name }${'}'.repeat(20)} }`
    expect((await gateway.post(deep)).errors?.[0]?.extensions.code).toBe('QUERY_TOO_COMPLEX')
    const listsInLists =
      '{ __schema { types { fields { type { fields { type { fields { type { fields { name } } } } } } } } } }'
    expect((await gateway.post(listsInLists)).errors?.[0]?.extensions.code).toBe('GRAPHQL_VALIDATION_FAILED')
  })

  test('and suggestions can be closed', async () => {
    const closed = await startGatewayForTest({ introspection: false })
    expect((await closed.post(full)).errors?.[0]?.extensions.code).toBe('GRAPHQL_VALIDATION_FAILED')
    expect((await closed.post('{ __typename }')).data).toEqual({ __typename: 'Query' })
    const { errors } = await closed.post('{ instancez { name } }')
    expect(errors?.[0]?.message).toBe('Cannot query field "instancez" on type "Query".')
    expect((await gateway.post('{ instancez { name } }')).errors?.[0]?.message).toContain('Did you mean')
  })

  test('closed, variables are no way around, and somebody without a token learns nothing of them', async () => {
    const closed = await startGatewayForTest({ introspection: false })
    const { token } = await seed(closed.services.db).account('shop')
    const text = 'mutation ($input: SetProxyInput!) { setProxy(input: $input) { instance { id } } }'
    const variables = { input: { instance: { name: 'x' }, config: { hots: 'x' } } }
    const { errors } = await closed.post(text, token, { variables })
    expect(errors).toMatchObject([
      {
        message: expect.stringMatching(/"hots" is not defined by type "ProxyConfig"\.$/),
        extensions: { field: 'input.config' },
      },
    ])
    for (const at of [closed, gateway]) {
      const stranger = await at.post(text, undefined, { variables })
      expect([stranger.status, stranger.errors?.[0]?.message]).toEqual([401, 'Invalid token'])
    }
  })

  test('needs no token also where variables skip parts of it', async () => {
    const text =
      'query ($skip: Boolean!) { __typename @skip(if: $skip) ...f } fragment f on Query { __schema { description } }'
    expect((await gateway.post(text, undefined, { variables: { skip: true } })).data?.__schema).toBeDefined()
    expect((await gateway.post(text, undefined, { variables: { skip: 'x' } })).errors?.[0]?.extensions).toEqual({
      code: 'BAD_USER_INPUT',
      field: 'if',
    })
  })
})
