import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import {
  CreateInstanceDocument,
  SetChatwootDocument,
  SetProxyDocument,
  SetS3Document,
  SetWebhookDocument,
  SetWebsocketDocument,
} from './generated/graphql.ts'
import { type SeededAccount, type SeededInstance, seed } from './seed.ts'
import { startGatewayForTest, startTestGateway, type TestGateway } from './testkit.ts'

let gateway: TestGateway
let shop: SeededAccount
let target: SeededInstance

beforeAll(async () => {
  gateway = await startTestGateway()
  shop = await seed(gateway.services.db).account('shop')
  target = await shop.instance('target')
})
afterAll(() => gateway.close())

type Document = { toString(): string }
const send = (document: Document, input: object, at = gateway, token = shop.token) =>
  at.post(document.toString(), token, { variables: { input } })

/** Refused with the path of the value, and nothing is stored. */
async function expectRefused(document: Document, input: object, field: string) {
  const { errors, data } = await send(document, input)
  expect(errors?.[0]?.extensions).toEqual({ code: 'BAD_USER_INPUT', field })
  expect(errors?.[0]?.message).toMatch(/\w/)
  expect(Object.values(data ?? { none: null })).toEqual([null])
  const rows = await Promise.all(
    (['webhooks', 'websockets', 'chatwoots', 'proxies', 's3s'] as const).map((table) =>
      gateway.services.db.selectFrom(table).selectAll().execute(),
    ),
  )
  expect(rows.flat()).toEqual([])
}

const instance = { name: 'target' }
const webhook = (config: object) =>
  [SetWebhookDocument, { instance, config: { url: 'https://example.com', ...config } }] as const
const proxy = (config: object) =>
  [SetProxyDocument, { instance, config: { host: 'example.com', port: 1, ...config } }] as const
const s3 = (config: object) =>
  [SetS3Document, { instance, config: { region: 'eu-west-1', bucket: 'media', ...config } }] as const
const chatwoot = (config: object) =>
  [
    SetChatwootDocument,
    { instance, config: { baseUrl: 'https://example.com', accountId: 1, inboxName: 'Inbox', ...config } },
  ] as const

const PRIVATE_HOSTS = [
  'localhost',
  'LOCALHOST',
  'localhost.',
  'a.localhost',
  'printer.local',
  'db.internal',
  'router.lan',
  'db',
  'ip6-localhost',
  'x.localdomain',
  'kubernetes.default.svc',
  'localhost..',
  'a..b.com',
  '-a.com',
  'x.home.arpa',
  '127.0.0.1',
  '127.1',
  '127.255.255.254',
  '2130706433',
  '0x7f000001',
  '0x7f.1',
  '0177.0.0.1',
  '017700000001',
  '0',
  '0.0.0.0',
  '10.0.0.1',
  '172.16.0.1',
  '172.31.255.255',
  '192.168.1.1',
  '100.64.0.1',
  '169.254.169.254',
  '192.0.2.1',
  '198.18.0.1',
  '198.51.100.1',
  '203.0.113.1',
  '224.0.0.1',
  '240.0.0.1',
  '255.255.255.255',
  '①②⑦.⓪.⓪.①',
]
const PRIVATE_IPV6 = [
  '::',
  '::1',
  '::ffff:127.0.0.1',
  '::ffff:7f00:1',
  '::127.0.0.1',
  '::ffff:8.8.8.8',
  '::ffff:808:808',
  '64:ff9b::8.8.8.8',
  'fe80::1',
  'fec0::1',
  'fc00::1',
  'fd12::1',
  'ff02::1',
  '64:ff9b::7f00:1',
  '64:ff9b::169.254.169.254',
  '64:ff9b:1::1',
  '2002:7f00:1::',
  '2001:0:7f00:1::',
  '2001:db8::1',
  '100::1',
]

describe('an address that is not public is refused', () => {
  test.each([...PRIVATE_HOSTS, ...PRIVATE_IPV6.map((address) => `[${address}]`)])('%s', async (host) => {
    await expectRefused(...webhook({ url: `https://${host}/hook` }), 'input.config.url')
    await expectRefused(...webhook({ url: `https://${host}:8443/hook` }), 'input.config.url')
    await expectRefused(...chatwoot({ baseUrl: `https://${host}` }), 'input.config.baseUrl')
    await expectRefused(...s3({ endpoint: `https://${host}` }), 'input.config.endpoint')
    await expectRefused(...proxy({ host }), 'input.config.host')
  })
  test('unless the operator allows it, then also over http', async () => {
    const open = await startGatewayForTest({ allowPrivateAddresses: true })
    const account = await seed(open.services.db).account('shop')
    await account.instance('target')
    for (const [document, input] of [
      webhook({ url: 'http://127.0.0.1:3000/hook' }),
      proxy({ host: '::1' }),
      s3({ endpoint: 'http://minio.local:9000' }),
    ]) {
      expect((await send(document, input, open, account.token)).errors).toBeUndefined()
    }
    const { errors } = await send(...webhook({ url: 'ftp://127.0.0.1' }), open, account.token)
    expect(errors?.[0]?.extensions).toEqual({ code: 'BAD_USER_INPUT', field: 'input.config.url' })
  })
})

describe('an address of a hostile shape is refused', () => {
  test.each([
    '',
    ' ',
    'x',
    'example.com',
    '//example.com',
    'https:example.com',
    'https:/example.com',
    'https:\\\\example.com',
    'https://',
    'http://example.com',
    'ftp://example.com',
    'file:///etc/passwd',
    'javascript:alert(1)',
    'data:text/plain,x',
    'gopher://example.com',
    'https://user@example.com',
    'https://user:pass@example.com',
    'https://@example.com',
    'https://:@example.com',
    'https://example.com@127.0.0.1',
    'https://127.0.0.1#@example.com',
    'https://127.0.0.1\\@example.com',
    'https://exa mple.com',
    ' https://example.com',
    'https://example.com ',
    'https://example.com/\n',
    'https://exam\tple.com',
    'https://example.com/\0',
    'https://example.com:99999',
    'https://example.com:0',
    'https://example.com/#fragment',
    'https://intranet',
    'https://example.com:x',
    'https://[::1',
    'https://%00.com',
    'https://example.com\r\nHost: evil',
    `https://example.com/${'x'.repeat(2_048)}`,
    `https://${'x'.repeat(900_000)}.com`,
  ])('%j', async (url) => {
    await expectRefused(...webhook({ url }), 'input.config.url')
  })
})

describe('a value is refused', () => {
  test.each<[string, readonly [Document, object], string]>([
    ['a missing url', [SetWebhookDocument, { instance, config: {} }], 'input.config.url'],
    ['a null url', webhook({ url: null }), 'input.config.url'],
    ['no event', webhook({ events: [] }), 'input.config.events'],
    ['an event twice', webhook({ events: ['CALL_UPDATE', 'CALL_UPDATE'] }), 'input.config.events'],
    ['no event for the websocket', [SetWebsocketDocument, { instance, config: { events: [] } }], 'input.config.events'],
    [
      'an authorization that breaks out of its header',
      webhook({ authorization: 'a\r\nX: y' }),
      'input.config.authorization',
    ],
    ['an authorization that is not ASCII', webhook({ authorization: 'é' }), 'input.config.authorization'],
    ['an empty authorization', webhook({ authorization: '' }), 'input.config.authorization'],
    ['a huge authorization', webhook({ authorization: 'x'.repeat(900_000) }), 'input.config.authorization'],
    [
      'an empty label',
      [SetWebhookDocument, { instance, label: '', config: { url: 'https://example.com' } }],
      'input.label',
    ],
    [
      'a label with NUL',
      [SetWebhookDocument, { instance, label: 'a\0', config: { url: 'https://example.com' } }],
      'input.label',
    ],
    [
      'a long label',
      [SetWebhookDocument, { instance, label: 'x'.repeat(101), config: { url: 'https://example.com' } }],
      'input.label',
    ],
    ['port 0', proxy({ port: 0 }), 'input.config.port'],
    ['port -1', proxy({ port: -1 }), 'input.config.port'],
    ['port 65536', proxy({ port: 65_536 }), 'input.config.port'],
    ['port 2147483647', proxy({ port: 2_147_483_647 }), 'input.config.port'],
    ['a missing port', proxy({ port: null }), 'input.config.port'],
    ['a host with a port', proxy({ host: 'example.com:80' }), 'input.config.host'],
    ['a host with a path', proxy({ host: 'example.com/x' }), 'input.config.host'],
    ['a host with a user', proxy({ host: 'u@example.com' }), 'input.config.host'],
    ['a host with a space', proxy({ host: 'exam ple.com' }), 'input.config.host'],
    ['a host as an address of the web', proxy({ host: 'https://example.com' }), 'input.config.host'],
    ['an empty user name', proxy({ username: '' }), 'input.config.username'],
    ['a user name with NUL', proxy({ username: 'a\0' }), 'input.config.username'],
    ['a password that is not ASCII', proxy({ password: 'pässword' }), 'input.config.password'],
    ['account 0', chatwoot({ accountId: 0 }), 'input.config.accountId'],
    ['a missing inbox', chatwoot({ inboxName: null }), 'input.config.inboxName'],
    ['an inbox with a line break', chatwoot({ inboxName: 'a\nb' }), 'input.config.inboxName'],
    ['an inbox with a zero-width space', chatwoot({ inboxName: 'In\u200bbox' }), 'input.config.inboxName'],
    ['an inbox with a byte order mark', chatwoot({ inboxName: 'Inbox\ufeff' }), 'input.config.inboxName'],
    ['an inbox with a line separator', chatwoot({ inboxName: 'In\u2028box' }), 'input.config.inboxName'],
    ['a base address with a query', chatwoot({ baseUrl: 'https://example.com/?a=b' }), 'input.config.baseUrl'],
    ['a bucket that cannot be one', s3({ bucket: 'My_Bucket' }), 'input.config.bucket'],
    ['a bucket of two letters', s3({ bucket: 'ab' }), 'input.config.bucket'],
    ['a bucket with two dots in a row', s3({ bucket: 'a..b' }), 'input.config.bucket'],
    ['a region with a slash', s3({ region: 'eu/west' }), 'input.config.region'],
    ['a prefix that climbs', s3({ pathPrefix: 'a/../b' }), 'input.config.pathPrefix'],
    ['an empty endpoint', s3({ endpoint: '' }), 'input.config.endpoint'],
    ['an empty key', s3({ credentials: { accessKey: '', secretKey: 's' } }), 'input.config.credentials.accessKey'],
    [
      'a key with a line break',
      s3({ credentials: { accessKey: 'a', secretKey: 's\n' } }),
      'input.config.credentials.secretKey',
    ],
    [
      'a bad integration of a new instance',
      [CreateInstanceDocument, { name: 'new', s3: { bucket: 'ab', region: 'x' } }],
      'input.s3.bucket',
    ],
  ])('%s', async (_what, [document, input], field) => expectRefused(document, input, field))

  test.each<[string, readonly [Document, object], string]>([
    ['a number that is no port', proxy({ port: 1e12 }), 'input.config.port'],
    ['a fraction', proxy({ port: 1.5 }), 'input.config.port'],
    ['a text for a number', proxy({ port: '80' }), 'input.config.port'],
    ['an unknown event', webhook({ events: ['EVERYTHING'] }), 'input.config.events.0'],
    ['an unknown protocol', proxy({ protocol: 'SOCKS4' }), 'input.config.protocol'],
    ['an unknown key', webhook({ verify: false }), 'input.config'],
    ['a prototype', webhook(JSON.parse('{"__proto__":{"url":"https://example.com"}}')), 'input.config'],
    ['a list for a text', webhook({ url: ['https://example.com'] }), 'input.config.url'],
    ['one key without the other', s3({ credentials: { accessKey: 'a' } }), 'input.config.credentials'],
  ])('%s, by its type', async (_what, [document, input], field) => expectRefused(document, input, field))
})

test.each([
  ['a variable of another name', 'mutation ($x: SetProxyInput!) { setProxy(input: $x) { instance { id } } }'],
  [
    'a variable inside of a literal',
    'mutation ($x: ProxyConfig!) { setProxy(input: { instance: { name: "target" }, config: $x }) { instance { id } } }',
  ],
  [
    'a variable in a fragment',
    'mutation ($x: Int) { ...f } fragment f on Mutation { setProxy(input: { instance: { name: "target" }, config: { port: $x } }) { instance { id } } }',
  ],
])('the place of a refused value is its path below the argument, also for %s', async (_what, text) => {
  const config = { host: 'example.com', port: '80' }
  const x = text.includes('Int') ? '80' : text.includes('$x: ProxyConfig') ? config : { instance, config }
  const { errors } = await gateway.post(text, shop.token, { variables: { x } })
  expect(errors?.[0]?.extensions).toEqual({ code: 'BAD_USER_INPUT', field: 'input.config.port' })
})

test('whatever text is sent for whatever field, the answer is a clear error or the value is stored as itself', async () => {
  const text = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 40 }),
    fc.constantFrom(
      '__proto__',
      'constructor',
      "'; drop table proxies; --",
      '\0',
      '\ud800',
      '${jndi:ldap://x}',
      '../../etc/passwd',
      'null',
      'x'.repeat(5_000),
    ),
  )
  await fc.assert(
    fc.asyncProperty(text, text, text, async (name, username, inboxName) => {
      for (const [document, input] of [
        [SetProxyDocument, { instance: { name: 'target' }, config: { host: 'example.com', port: 1, username } }],
        [
          SetChatwootDocument,
          { instance: { name: 'target' }, config: { baseUrl: 'https://example.com', accountId: 1, inboxName } },
        ],
        [SetWebsocketDocument, { instance: { name }, config: {} }],
      ] as const) {
        const { status, errors, data } = await send(document, input)
        expect([200, 400]).toContain(status)
        for (const error of errors ?? [])
          expect(['BAD_USER_INPUT', 'INSTANCE_NOT_FOUND']).toContain(error.extensions.code)
        const stored = data?.setProxy?.proxy.username ?? data?.setChatwoot?.chatwoot.inboxName
        if (stored !== undefined) expect([username, inboxName]).toContain(stored)
      }
    }),
    { numRuns: 150 },
  )
  expect(gateway.log.filter(({ level }) => Number(level) >= 50)).toEqual([])
  expect(target.id).toMatch(/^[\da-f-]{36}$/)
})
