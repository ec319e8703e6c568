import { request as httpRequest } from 'node:http'
import fc from 'fast-check'
import { sql } from 'kysely'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { Plan } from '../src/graphql/fast-road/plan.ts'
import { type SeededAccount, seed } from './seed.ts'
import { startGatewayForTest, startTestGateway, type TestGateway } from './testkit.ts'

const RANDOM_OPERATIONS = 400

let gateway: TestGateway
let shop: SeededAccount
let instanceToken: string

beforeAll(async () => {
  gateway = await startTestGateway()
  shop = await seed(gateway.services.db).account('shop')
  const full = await shop.instance('full "quoted" ünï 🙂')
  instanceToken = full.token
  await full.facts({
    number_jid: '5511999999999@s.whatsapp.net',
    paired_at: new Date('2026-01-02T03:04:05.678Z'),
    logged_out_at: new Date('2026-02-02T03:04:05.678Z'),
    profile_name: 'Loja\n"1"',
    is_business: true,
    business_name: '\u2028',
  })
  await full.webhook({ events: ['label.update'] })
  await full.webhook({ label: 'off', enabled: false, url: null })
  await full.websocket()
  await full.chatwoot({ status: 'error', last_error: 'It said "no"' })
  await full.proxy({ password_sealed: Buffer.from('x') })
  await full.settings({ call_reject_message: 'é' })
  await full.s3()
  await shop.instance('bare')
  const paired = await shop.instance('paired')
  await paired.facts({ number_jid: '5511888888888@s.whatsapp.net', paired_at: new Date(), desired_state: 'connected' })
})
afterAll(() => gateway.close())

type Answer = { status: number; headers: Record<string, unknown>; body: string }

/** Byte for byte, with all headers but those that differ between any two answers. */
function post(body: object, headers: Record<string, string> = {}, token = shop.token): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const request = httpRequest(`${gateway.url}/graphql`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', token, ...headers },
    })
    request.once('error', reject).once('response', (response) => {
      let text = ''
      response.setEncoding('utf8').on('data', (chunk: string) => (text += chunk))
      response.once('end', () => {
        const { date, 'x-request-id': requestId, 'x-ratelimit-reset': reset, ...rest } = response.headers
        expect([date, requestId, reset].every(Boolean)).toBe(true)
        resolve({ status: response.statusCode ?? 0, headers: rest, body: text })
      })
    })
    request.end(JSON.stringify(body))
  })
}

const remaining = ({ headers }: Answer) => Number(headers['x-ratelimit-remaining'])

/**
 * The same operation on both roads: `extensions` means nothing to the gateway, and is not plain. Answers are equal, and
 * cost the same.
 */
async function bothRoads(body: object, headers?: Record<string, string>, token?: string): Promise<Answer> {
  const general = await post({ ...body, extensions: {} }, headers, token)
  const first = await post(body, headers, token)
  const fast = await post(body, headers, token)
  expect(remaining(first) - remaining(fast)).toBe(remaining(general) - remaining(first))
  const { 'x-ratelimit-remaining': _general, ...expected } = general.headers
  const { 'x-ratelimit-remaining': _fast, ...given } = fast.headers
  expect({ ...fast, body: inOneOrder(fast), headers: given }).toEqual({
    ...general,
    body: inOneOrder(general),
    headers: expected,
  })
  return fast
}

/** Several errors come as the readings do that they belong to: while memory is not current, in any order. */
function inOneOrder({ body }: Answer): string {
  const { errors = [], ...rest } = JSON.parse(body) as { errors?: object[] }
  if (errors.length < 2) return body
  return JSON.stringify({ errors: errors.map((error) => JSON.stringify(error)).toSorted(), ...rest })
}

/** How many requests the fast road has understood while `asking` ran. */
async function takenBy(asking: () => Promise<unknown>): Promise<number> {
  const ask = vi.spyOn(Plan.prototype, 'ask')
  try {
    await asking()
    return ask.mock.results.filter(({ type }) => type === 'return').length
  } finally {
    ask.mockRestore()
  }
}

const SCALARS: Record<string, string[]> = {
  Instance: ['id', 'name', 'createdAt', 'updatedAt', '__typename'],
  connection: [
    'state',
    'desiredState',
    'numberJid',
    'presenceStatus',
    'displayStatus',
    'since',
    'observedAt',
    'sequence',
    '__typename',
  ],
  reason: ['code', 'message', 'whatsappCode', 'nextStep', 'retryAt'],
  profile: ['name', 'pictureUrl', 'isBusiness', 'businessName', '__typename'],
  webhook: ['label', 'enabled', 'url', 'hasAuthorization', 'byEvents', 'events', 'mediaBase64'],
  webhooks: ['label', 'enabled', 'url', 'events', '__typename'],
  websocket: ['enabled', 'events', 'mediaBase64'],
  chatwoot: [
    'enabled',
    'status',
    'lastError',
    'bridgeIntegrationId',
    'baseUrl',
    'accountId',
    'inboxName',
    'hasApiToken',
  ],
  proxy: ['enabled', 'host', 'port', 'protocol', 'username', 'hasPassword'],
  settings: ['autoRejectCalls', 'callRejectMessage', 'disableHistorySync', '__typename'],
  s3: ['enabled', 'region', 'bucket', 'endpoint', 'pathPrefix', 'hasCredentials'],
}
const BLOCKS = Object.keys(SCALARS).filter((name) => name !== 'Instance' && name !== 'reason')

const directive = fc.constantFrom(
  '',
  '',
  '',
  ' @include(if: $yes)',
  ' @skip(if: $yes)',
  ' @skip(if: $no)',
  ' @include(if: false)',
)
/** Mostly one alias a field, so that few operations are refused because two fields want one key. */
const alias = (field: string) =>
  fc.oneof(
    { weight: 6, arbitrary: fc.constant('') },
    { weight: 3, arbitrary: fc.constant(`${field}_: `) },
    { weight: 1, arbitrary: fc.constant('name: ') },
  )
const leafOf = (type: string) =>
  fc
    .constantFrom(...(SCALARS[type] ?? []))
    .chain((field) => fc.tuple(alias(field), fc.constant(field), directive).map((parts) => parts.join('')))

const block = fc.constantFrom(...BLOCKS).chain((name) => {
  const inner =
    name === 'connection'
      ? fc.oneof(
          leafOf(name),
          fc.array(leafOf('reason'), { minLength: 1, maxLength: 4 }).map((fields) => `reason { ${fields.join(' ')} }`),
        )
      : leafOf(name)
  return fc
    .tuple(alias(name), directive, fc.array(inner, { minLength: 1, maxLength: 5 }))
    .map(([as, condition, fields]) => `${as}${name}${condition} { ${fields.join(' ')} }`)
})
const selection = fc.oneof(
  { weight: 3, arbitrary: leafOf('Instance') },
  { weight: 4, arbitrary: block },
  {
    weight: 1,
    arbitrary: fc.tuple(directive, block).map(([condition, inner]) => `... on Instance${condition} { ${inner} }`),
  },
  { weight: 1, arbitrary: leafOf('Instance').map((inner) => `... on Node { id } ... { ${inner} }`) },
  { weight: 1, arbitrary: fc.constantFrom('...F', '...F @include(if: $yes)', '...G') },
)
const root = fc.constantFrom(
  'instances',
  'instances',
  'instances(names: $names)',
  'instances(names: ["bare", null, "nobody"])',
  'instances(names: [])',
  'instances(names: null)',
  'instance(name: "bare")',
  'instance(name: $one)',
  'viewer',
)
const rootField = fc
  .tuple(
    fc.constantFrom('v: ', 'w: ', 'x: ', 'y: ', 'z: '),
    root,
    directive,
    fc.array(selection, { minLength: 1, maxLength: 7 }),
  )
  .map(([as, field, condition, fields]) =>
    field === 'viewer' ? `${as}viewer${condition} { kind }` : `${as}${field}${condition} { ${fields.join(' ')} }`,
  )
const DEFINITIONS = { yes: 'Boolean = true', no: 'Boolean! = false', names: '[String]', one: 'String! = "paired"' }

/** With the fragments and variables that it uses, since others are refused. */
function document(selections: string, inFragment: string): string {
  const fragments = [
    selections.includes('...F') ? `fragment F on Instance { id ${inFragment} }` : '',
    `${selections}${inFragment}`.includes('...G') ? 'fragment G on Node { __typename id }' : '',
  ].join(' ')
  const used = Object.entries(DEFINITIONS).filter(([name]) => `${selections} ${fragments}`.includes(`$${name}`))
  const variablesUsed = used.map(([name, type]) => `$${name}: ${type}`).join(', ')
  return `query Q${variablesUsed && `(${variablesUsed})`} { ${selections} } ${fragments}`
}

const operation = fc
  .tuple(
    fc.array(fc.oneof(rootField, rootField, rootField, fc.constant('__typename')), { minLength: 1, maxLength: 3 }),
    selection.filter((inner) => !inner.startsWith('...F')),
  )
  .map(([fields, inFragment]) => document(fields.join(' '), inFragment))
const variables = fc.record(
  {
    yes: fc.constantFrom(true, false, null, 'no boolean'),
    no: fc.boolean(),
    names: fc.constantFrom(null, [], ['bare'], ['full "quoted" ünï 🙂', 'bare', 'bare'], [null, 'nobody'], 'bare', [1]),
    one: fc.constantFrom('bare', 'nobody', '', 7, null),
    unknown: fc.constant(1),
  },
  { requiredKeys: [] },
)
const accept = fc.constantFrom(
  '*/*',
  'application/json',
  'application/graphql-response+json',
  'application/json;q=0.9, */*',
)

describe('both roads give the same answer', () => {
  test('to random operations', async () => {
    let good = 0
    const taken = await takenBy(() =>
      fc.assert(
        fc.asyncProperty(operation, variables, accept, fc.boolean(), async (query, given, type, asInstance) => {
          const token = asInstance ? instanceToken : shop.token
          const { status, body } = await bothRoads({ query, variables: given }, { accept: type }, token)
          if (status === 200 && body.startsWith('{"data"')) good++
        }),
        { numRuns: RANDOM_OPERATIONS },
      ),
    )
    // Or the property would say little: the rest is refused, or left to the general road.
    expect(good).toBeGreaterThan(RANDOM_OPERATIONS / 4)
    expect(taken).toBeGreaterThan(RANDOM_OPERATIONS / 8)
  }, 240_000)

  const PLAIN = '{ instances { name connection { state } proxy { host } } }'
  test.each([
    ['a plain query', { query: PLAIN }, true],
    ['no variables', { query: PLAIN, variables: null, operationName: null }, true],
    ['the name of the operation', { query: `query Q ${PLAIN}`, operationName: 'Q' }, true],
    ['another name', { query: `query Q ${PLAIN}`, operationName: 'R' }, false],
    ['one of two operations', { query: `query Q ${PLAIN} query R { __typename }`, operationName: 'Q' }, false],
    ['nothing that is left', { query: '{ instances @skip(if: true) { name } }' }, true],
    ['the type of the root', { query: '{ __typename }' }, true],
    ['a field that is no plain one', { query: '{ viewer { kind } instances { name } }' }, false],
    ['introspection', { query: '{ __type(name: "Instance") { name } instances { name } }' }, false],
    ['an unknown field', { query: '{ instances { token } }' }, false],
    ['a broken text', { query: '{ instances {' }, false],
    ['an argument that does not fit', { query: '{ instance(name: 7) { name } }' }, false],
    ['a missing variable', { query: 'query ($n: String!) { instance(name: $n) { name } }' }, false],
    [
      'a thousand and one names',
      { query: 'query ($n: [String]) { instances(names: $n) { name } }', variables: { n: Array(1_001).fill('bare') } },
      false,
    ],
    ['a parameter that does not exist', { query: PLAIN, foo: 1 }, false],
    ['a name that a prototype has', { query: '{ instances { constructor { name } } }' }, false],
  ])('to %s', async (_what, body, isPlain) => {
    expect((await takenBy(() => bothRoads(body))) > 0).toBe(isPlain)
  })

  test('when the limit is reached', async () => {
    const small = await startGatewayForTest({ rateLimitPerMinute: 3 })
    const account = await seed(small.services.db).account('shop')
    const ask = (extra: object = {}) => small.post(PLAIN, account.token, { variables: null, ...extra })
    await ask()
    const taken = await takenBy(async () => {
      expect((await ask()).headers.get('x-ratelimit-remaining')).toBe('1')
      expect((await small.post('{ a: instances { name } b: instances { name } }', account.token)).status).toBe(429)
      await ask()
      const fast = await ask()
      const general = await ask({ headers: { accept: 'application/json;q=1' } })
      expect(fast.status).toBe(429)
      for (const { headers, errors } of [fast, general]) {
        expect(errors).toMatchObject([{ extensions: { code: 'RATE_LIMITED', limit: 3, remaining: 0 } }])
        expect(headers.get('x-ratelimit-remaining')).toBe('0')
        expect(headers.get('retry-after')).toMatch(/^[0-9]+$/)
      }
    })
    expect(taken).toBe(3)
  })

  test('when a block cannot be read', async () => {
    const broken = await startGatewayForTest()
    const { db, readModel } = broken.services
    const account = await seed(db).account('shop')
    await account.instance('sales')
    const ask = () => broken.post(PLAIN, account.token)
    await ask()
    await sql`alter table proxies rename to elsewhere`.execute(db)
    readModel.drop({ kind: 'everything' })
    const { data, errors, headers } = await ask()
    expect(data).toEqual({ instances: [{ name: 'sales', connection: { state: 'DISCONNECTED' }, proxy: null }] })
    expect(errors).toMatchObject([{ path: ['instances', 0, 'proxy'], extensions: { code: 'INTERNAL_SERVER_ERROR' } }])
    expect(headers.get('x-ratelimit-remaining')).toBe('999998')
    await sql`alter table elsewhere rename to proxies`.execute(db)
    expect((await ask()).errors).toBeUndefined()
  })
})

test('a connection is never kept: it is asked of the registry each time', async () => {
  const { sessions } = gateway.services
  const query = '{ instance(name: "bare") { name connection { state } } }'
  await post({ query })
  await post({ query })
  const real = sessions.statusOf.bind(sessions)
  const tag = async () => (await gateway.get('/api/instance/list?instanceName=bare', shop.token)).headers.get('etag')
  const tagAtRest = await tag()
  expect(await tag()).toBe(tagAtRest)
  const statusOf = vi.spyOn(sessions, 'statusOf')
  statusOf.mockImplementation((instance) => ({ ...real(instance), state: 'connected' }))
  try {
    expect((await post({ query })).body).toContain('CONNECTED')
    const list = await gateway.get('/api/instance/list?instanceName=bare', shop.token)
    expect(list.headers.get('etag')).not.toBe(tagAtRest)
    expect(await list.json()).toMatchObject({
      instances: [{ status: 'connected', connection: { state: 'connected' } }],
    })
  } finally {
    statusOf.mockRestore()
  }
  expect((await post({ query })).body).toContain('"state":"DISCONNECTED"')
})
