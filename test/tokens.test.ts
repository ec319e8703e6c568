import { connect } from 'node:net'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createAccount, deleteAccount, rotateAccountToken } from '../src/account/actions.ts'
import { createInstance, deleteInstance } from '../src/instance/actions.ts'
import { revokeToken } from '../src/token/actions.ts'
import { listTokens } from '../src/token/queries.ts'
import { digestToken, generateToken } from '../src/token/token.ts'
import { type SeededAccount, seed } from './seed.ts'
import { startTestGateway, type TestGateway } from './testkit.ts'

let gateway: TestGateway
let shop: SeededAccount

beforeAll(async () => {
  gateway = await startTestGateway()
  shop = await seed(gateway.services.db).account('shop')
  await shop.instance('sales')
})
afterAll(() => gateway.close())

const statusOf = async (headers: Record<string, string>) =>
  (await fetch(`${gateway.url}/api/instance/list`, { headers })).status

describe('a token is found', () => {
  test('in the token header', async () => expect(await statusOf({ token: shop.token })).toBe(200))
  test('after Bearer, in any case', async () => {
    for (const scheme of ['Bearer', 'bearer', 'BEARER']) {
      expect(await statusOf({ authorization: `${scheme} ${shop.token}` })).toBe(200)
    }
  })
  test('in either when both are sent', async () => {
    expect(await statusOf({ token: shop.token, authorization: `Bearer ${shop.token}` })).toBe(200)
  })
  test('in the token header first', async () => {
    expect(await statusOf({ token: shop.token, authorization: 'Bearer wrong' })).toBe(200)
    expect(await statusOf({ token: 'wrong', authorization: `Bearer ${shop.token}` })).toBe(401)
  })
  test('after Bearer when the token header is empty', async () => {
    expect(await statusOf({ token: '', authorization: `Bearer ${shop.token}` })).toBe(200)
    expect(await statusOf({ token: '  ', authorization: `Bearer ${shop.token}` })).toBe(200)
  })
  test('beside a scheme that a proxy adds', async () => {
    expect(await statusOf({ token: shop.token, authorization: 'Basic dXNlcjpwYXNz' })).toBe(200)
  })
})

describe('a request is refused with 401', () => {
  test.each<[string, () => Record<string, string>]>([
    ['without a token', () => ({})],
    ['with an empty one', () => ({ token: '' })],
    ['with an empty Bearer', () => ({ authorization: 'Bearer ' })],
    ['with another scheme', () => ({ authorization: `Basic ${shop.token}` })],
    ['with an unknown token', () => ({ token: generateToken('account') })],
    ['with a token that lost a character', () => ({ token: shop.token.slice(0, -1) })],
    ['with a token in other case', () => ({ token: shop.token.toUpperCase() })],
    ['with two tokens joined by a comma', () => ({ token: `${shop.token}, ${shop.token}` })],
    ['with the digest of a token', () => ({ token: digestToken(shop.token).toString('hex') })],
    ['with a huge token', () => ({ token: 'x'.repeat(10_000) })],
  ])('%s', async (_how, headers) => {
    const response = await fetch(`${gateway.url}/api/instance/list`, { headers: headers() })
    expect(response.status).toBe(401)
    expect(await response.json()).toEqual({ success: false, error: { message: 'Invalid token' } })
  })

  test('with a token in the query, where it would end in access logs', async () => {
    expect((await gateway.get(`/api/instance/list?token=${shop.token}`)).status).toBe(401)
  })

  test('with a repeated token header', async () => {
    const { port } = new URL(gateway.url)
    const answer = await new Promise<string>((resolve, reject) => {
      const socket = connect(Number(port), '127.0.0.1').setEncoding('utf8').on('error', reject)
      socket.once('data', (text) => {
        socket.destroy()
        resolve(String(text))
      })
      socket.write(`GET /api/instance/list HTTP/1.1\r\nHost: x\r\ntoken: ${shop.token}\r\ntoken: ${shop.token}\r\n\r\n`)
    })
    expect(answer).toMatch(/^HTTP\/1.1 401 /)
  })
})

test('no token with a comma authenticates, as if a proxy had joined two', async () => {
  const { db } = gateway.services
  const token = 'first-of-two-tokens,second-of-two-tokens'
  await createAccount(db, { name: 'joined', token })
  expect(await statusOf({ token })).toBe(401)
  expect(await statusOf({ authorization: `Bearer ${token}` })).toBe(401)
})

describe('a token ends', () => {
  const tokenWorks = async (token: string) => (await statusOf({ token })) === 200

  test('when it is revoked', async () => {
    const { db } = gateway.services
    const account = await createAccount(db, { name: 'revoked' })
    const [{ id = '' } = {}] = await listTokens(db, account.id)
    expect(await tokenWorks(account.token)).toBe(true)
    await revokeToken(db, id)
    expect(await tokenWorks(account.token)).toBe(false)
  })
  test('when it is rotated, and the new one begins', async () => {
    const { db } = gateway.services
    const account = await createAccount(db, { name: 'rotated' })
    const { token } = await rotateAccountToken(db, 'rotated')
    expect([await tokenWorks(account.token), await tokenWorks(token)]).toEqual([false, true])
  })
  test('with its instance, and a new instance of that name inherits nothing', async () => {
    const { db } = gateway.services
    const account = await createAccount(db, { name: 'reused' })
    const first = await createInstance(db, { accountId: account.id, name: 'number' })
    await deleteInstance(db, { kind: 'account', accountId: account.id }, { name: 'number' })
    const second = await createInstance(db, { accountId: account.id, name: 'number' })
    expect([await tokenWorks(first.token), await tokenWorks(second.token)]).toEqual([false, true])
    expect(second.instance.id).not.toBe(first.instance.id)
  })
  test('with its account', async () => {
    const { db } = gateway.services
    const account = await createAccount(db, { name: 'closed' })
    const instance = await createInstance(db, { accountId: account.id, name: 'number' })
    await deleteAccount(db, 'closed')
    expect([await tokenWorks(account.token), await tokenWorks(instance.token)]).toEqual([false, false])
  })
})

test('generated tokens can be found by secret scanners and hold 192 random bits', () => {
  expect(generateToken('account')).toMatch(/^sba_[\w-]{32}$/)
  expect(generateToken('instance')).toMatch(/^sbi_[\w-]{32}$/)
  expect(generateToken('account')).not.toBe(generateToken('account'))
})

test('the database holds no token, and neither does the log', async () => {
  const { rows } = await gateway.services.db
    .selectFrom('tokens')
    .selectAll()
    .execute()
    .then((tokens) => ({ rows: JSON.stringify(tokens) }))
  expect(rows).not.toContain(shop.token)
  expect(rows).toContain(JSON.stringify(digestToken(shop.token)))
  expect(JSON.stringify(gateway.log)).not.toContain(shop.token)
})
