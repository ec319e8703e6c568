import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { rotateAccountToken } from '../src/account/actions.ts'
import { createRateLimiter } from '../src/rate-limit.ts'
import { SlidingLogs } from '../src/sliding-log.ts'
import { WhoAmIDocument } from './generated/graphql.ts'
import { seed } from './seed.ts'
import { startGatewayForTest } from './testkit.ts'

const LIMIT = 100
const start = async () => {
  const gateway = await startGatewayForTest({ rateLimitPerMinute: LIMIT })
  const shop = await seed(gateway.services.db).account('shop')
  /** Spends all but `left` of the shop's minute. */
  const spendAllBut = async (left: number) => {
    await gateway.services.limiter.charge(`account:${shop.id}`, LIMIT - left)
  }
  const remaining = async () =>
    Number((await gateway.get('/api/instance/list', shop.token)).headers.get('x-ratelimit-remaining'))
  return { gateway, shop, spendAllBut, remaining }
}

describe('the limit of a principal', () => {
  test('lets exactly 100 of 500 concurrent REST and GraphQL requests pass', async () => {
    const { gateway, shop } = await start()
    const statuses = await Promise.all(
      Array.from({ length: 500 }, async (_, index) => {
        if (index % 2) return (await gateway.get('/api/instance/list', shop.token)).status
        return (await gateway.post('{ instances { name } }', shop.token)).status
      }),
    )
    expect(statuses.filter((status) => status === 200)).toHaveLength(LIMIT)
    expect(statuses.filter((status) => status === 429)).toHaveLength(400)
  })

  test('says of an operation that never fits that it does not, and not when to come back', async () => {
    const gateway = await startGatewayForTest({ rateLimitPerMinute: 5 })
    const { token } = await seed(gateway.services.db).account('shop')
    const fields = (count: number) =>
      `{ ${Array.from({ length: count }, (_, n) => `v${n}: viewer { kind }`).join(' ')} }`
    const { errors, headers } = await gateway.post(fields(6), token)
    expect(errors).toMatchObject([
      {
        message: expect.stringContaining('at most 5 are possible in a minute'),
        extensions: { code: 'QUERY_TOO_COMPLEX' },
      },
    ])
    expect([headers.get('retry-after'), headers.get('x-ratelimit-remaining')]).toEqual([null, '4'])
    expect((await gateway.post(fields(4), token)).errors).toBeUndefined()
  })

  test('is told in headers on every answer, and when it is reached also when to come back', async () => {
    const { gateway, shop, spendAllBut } = await start()
    await spendAllBut(2)
    const answers = [
      await gateway.get('/api/instance/list?instanceName=nobody', shop.token),
      await gateway.get(`/api/instance/list?instanceName=${'x'.repeat(9000)}`, shop.token),
      await gateway.get('/api/instance/list', shop.token),
    ]
    expect(answers.map(({ status }) => status)).toEqual([404, 400, 429])
    expect(answers.map(({ headers }) => headers.get('x-ratelimit-limit'))).toEqual(['100', '100', '100'])
    expect(answers.map(({ headers }) => headers.get('x-ratelimit-remaining'))).toEqual(['1', '0', '0'])
    for (const { headers } of answers) {
      const seconds = Number(headers.get('x-ratelimit-reset')) - Date.now() / 1000
      expect(seconds).toBeGreaterThan(55)
      expect(seconds).toBeLessThanOrEqual(61)
    }
    expect(answers.map(({ headers }) => headers.has('retry-after'))).toEqual([false, false, true])
    expect(Number(answers[2]?.headers.get('retry-after'))).toBeGreaterThan(55)
    expect(await answers[2]?.json()).toEqual({
      success: false,
      error: { message: 'Rate limit exceeded. Try again later.' },
    })
  })

  test('in GraphQL is an error with the same message and headers', async () => {
    const { gateway, shop, spendAllBut } = await start()
    await spendAllBut(0)
    for (const accept of ['application/graphql-response+json', 'application/json']) {
      const { status, headers, errors, data } = await gateway.post('{ viewer { kind } }', shop.token, {
        headers: { accept },
      })
      expect([status, data]).toEqual([429, undefined])
      expect(errors).toEqual([
        {
          message: 'Rate limit exceeded. Try again later.',
          extensions: {
            code: 'RATE_LIMITED',
            limit: 100,
            remaining: 0,
            retryAfter: expect.any(Number),
            resetAt: expect.stringMatching(/:\d\d\.000Z$/),
          },
        },
      ])
      expect(headers.get('x-ratelimit-remaining')).toBe('0')
      expect(headers.get('retry-after')).toBe(String(errors?.[0]?.extensions.retryAfter))
    }
  })

  test('is one bucket per account, one per instance, and is not shared', async () => {
    const { gateway, shop, spendAllBut } = await start()
    const instance = await shop.instance('sales')
    const neighbour = await seed(gateway.services.db).account('neighbour')
    await spendAllBut(0)
    expect((await gateway.get('/api/instance/list', shop.token)).status).toBe(429)
    expect((await gateway.get('/api/instance/list', instance.token)).status).toBe(200)
    expect((await gateway.get('/api/instance/list', neighbour.token)).status).toBe(200)
  })

  test('does not begin anew with a rotated token', async () => {
    const { gateway, spendAllBut } = await start()
    await spendAllBut(0)
    const { token } = await rotateAccountToken(gateway.services.db, 'shop')
    expect((await gateway.get('/api/instance/list', token)).status).toBe(429)
  })

  test('is not spent by refused requests', async () => {
    const { gateway, shop, spendAllBut } = await start()
    await spendAllBut(1)
    const tooMany = '{ a: viewer { kind } b: viewer { kind } }'
    expect((await gateway.post(tooMany, shop.token)).status).toBe(429)
    expect((await gateway.post('{ viewer { kind } }', shop.token)).status).toBe(200)
  })
})

describe('an operation counts', () => {
  test.each([
    ['one for each root field', '{ viewer { kind } instances { name } }', 2],
    ['aliases too', '{ a: viewer { kind } b: viewer { kind } c: viewer { kind } }', 3],
    ['repeats of one answer key once', '{ viewer { kind } viewer { rateLimit { limit } } }', 1],
    [
      'fields behind fragments',
      '{ ...a ... on Query { b: viewer { kind } } } fragment a on Query { viewer { kind } }',
      2,
    ],
    [
      'not what is skipped',
      '{ viewer { kind } b: viewer @skip(if: true) { kind } c: viewer @include(if: false) { kind } }',
      1,
    ],
    ['one when all is skipped', '{ viewer @skip(if: true) { kind } }', 1],
    ['introspection', '{ __typename __schema { queryType { name } } viewer { kind } }', 3],
    ['node', '{ node(id: "x") { id } }', 1],
    ['one when it cannot be parsed', '{', 1],
    ['one when it does not fit the schema', '{ a b c d }', 1],
    [
      'one when its variables do not fit',
      'query ($n: [String!]!) { a: instances(names: $n) { name } b: viewer { kind } }',
      1,
    ],
    [
      'one when it is too deep or broad',
      `{ ${Array.from({ length: 21 }, (_, i) => `a${i}: viewer { kind }`).join(' ')} }`,
      1,
    ],
  ])('%s', async (_what, query, cost) => {
    const { gateway, shop, remaining } = await start()
    const { headers } = await gateway.post(query, shop.token)
    expect(headers.get('x-ratelimit-remaining')).toBe(String(LIMIT - cost))
    expect(await remaining()).toBe(LIMIT - cost - 1)
  })

  test.each([
    ['a body that is not JSON', { body: '{', headers: { 'content-type': 'application/json' } }, 400],
    ['a body of another type', { body: 'x', headers: { 'content-type': 'text/plain' } }, 415],
    ['a batch', { body: '[{"query":"{ viewer { kind } }"}]', headers: { 'content-type': 'application/json' } }, 400],
  ])('one for %s', async (_what, { body, headers }, status) => {
    const { gateway, shop, remaining } = await start()
    const response = await fetch(`${gateway.url}/graphql`, {
      method: 'POST',
      body,
      headers: { ...headers, token: shop.token },
    })
    expect(response.status).toBe(status)
    expect(response.headers.get('x-ratelimit-remaining')).toBe(String(LIMIT - 1))
    expect(await remaining()).toBe(LIMIT - 2)
  })

  test('and tells what is left of the minute, itself included', async () => {
    const { gateway, shop } = await start()
    const { viewer } = await gateway.graphql(WhoAmIDocument, {}, shop.token)
    expect(viewer.rateLimit).toEqual({ limit: 100, remaining: 99, resetAt: expect.stringMatching(/:\d\d\.000Z$/) })
  })
})

describe('failed authentications', () => {
  test('are limited to 60 a minute and address, while a valid token always passes', async () => {
    const { gateway, shop } = await start()
    const guess = (index: number) =>
      index % 2
        ? gateway.get('/api/instance/list', `wrong-${index}`)
        : fetch(`${gateway.url}/graphql`, {
            method: 'POST',
            headers: { 'content-type': 'application/json' },
            body: '{"query":"{ instances { name } }"}',
          })
    const statuses = await Promise.all(Array.from({ length: 100 }, async (_, index) => (await guess(index)).status))
    expect(statuses.filter((status) => status === 401)).toHaveLength(60)
    expect(statuses.filter((status) => status === 429)).toHaveLength(40)
    const refused = await gateway.get('/api/instance/list', 'wrong')
    expect([refused.status, refused.headers.has('retry-after'), refused.headers.has('x-ratelimit-limit')]).toEqual([
      429,
      true,
      false,
    ])
    expect((await gateway.get('/api/instance/list', shop.token)).status).toBe(200)
  })

  test.each([
    ['by the address that the trusted proxy saw', 1, ['1.2.3.4', '1.2.3.5'], false],
    ['an IPv6 network of 64 bits as one', 1, ['2001:db8::1', '2001:db8::2'], true],
    ['IPv6 networks apart', 1, ['2001:db8:0:1::1', '2001:db8:0:2::1'], false],
    ['a mapped IPv4 address as that address', 1, ['::ffff:1.2.3.4', '1.2.3.4'], true],
    ['without trust, whatever the client claims', 0, ['1.2.3.4', '1.2.3.5'], true],
    ['what stands before the trusted hops as forged', 1, ['6.6.6.1, 1.2.3.4', '6.6.6.2, 1.2.3.4'], true],
    ['the outer of two trusted hops', 2, ['1.2.3.4, 10.0.0.1', '1.2.3.5, 10.0.0.1'], false],
  ])('are counted %s', async (_what, trustProxy, [first = '', second = ''], isShared) => {
    const gateway = await startGatewayForTest({ trustProxy })
    const guess = async (from: string) =>
      (await gateway.get('/api/instance/list', 'wrong', { 'x-forwarded-for': from })).status
    await Promise.all(Array.from({ length: 60 }, () => guess(first)))
    expect(await guess(second)).toBe(isShared ? 429 : 401)
  })
})

describe('the sliding log', () => {
  const logs = (limit = 3, options = {}) => {
    const clock = { now: 0 }
    return { clock, logs: new SlidingLogs(limit, 60_000, { now: () => clock.now, ...options }) }
  }

  test('frees each place 60 s after it was taken', () => {
    const { clock, logs: log } = logs()
    const takeAt = (now: number) => {
      clock.now = now
      return log.reserve('key', 1).granted
    }
    expect([0, 10_000, 20_000, 30_000, 59_999].map(takeAt)).toEqual([true, true, true, false, false])
    expect([60_000, 60_001, 70_000].map(takeAt)).toEqual([true, false, true])
  })

  test('takes all that is asked for or nothing, and says when it would fit', () => {
    const { clock, logs: log } = logs()
    log.reserve('key', 1)
    clock.now = 10_000
    log.reserve('key', 1)
    clock.now = 20_000
    expect(log.reserve('key', 2)).toEqual({ granted: false, remaining: 1, nextFreeMs: 40_000, retryAfterMs: 40_000 })
    expect(log.reserve('key', 3)).toMatchObject({ granted: false, remaining: 1, retryAfterMs: 50_000 })
    expect(log.reserve('key', 4)).toMatchObject({ granted: false, remaining: 1 })
    expect(log.reserve('key', 1)).toMatchObject({ granted: true, remaining: 0, retryAfterMs: 0 })
  })

  test('grants what a plain count of the last minute grants', () => {
    const steps = fc.array(
      fc.record({ wait: fc.integer({ min: 0, max: 40_000 }), places: fc.integer({ min: 1, max: 5 }) }),
    )
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 8 }), steps, (limit, asked) => {
        const { clock, logs: log } = logs(limit)
        let taken: number[] = []
        for (const { wait, places } of asked) {
          clock.now += wait
          taken = taken.filter((at) => at + 60_000 > clock.now)
          const granted = taken.length + places <= limit
          if (granted) taken.push(...Array.from({ length: places }, () => clock.now))
          expect(log.reserve('key', places)).toMatchObject({ granted, remaining: limit - taken.length })
        }
      }),
    )
  })

  test('remembers no more than one window: 100,000 principals leave with their minute', () => {
    const { clock, logs: log } = logs()
    for (let index = 0; index < 100_000; index++) log.reserve(`principal ${index}`, 1)
    expect(log.size).toBe(100_000)
    clock.now = 60_000
    log.reserve('another', 1)
    expect(log.size).toBe(1)
  })

  test('remembers no more keys than it may', () => {
    const { logs: log } = logs(3, { maxKeys: 10 })
    for (let index = 0; index < 1_000; index++) log.reserve(`address ${index}`, 1)
    expect(log.size).toBeLessThanOrEqual(11)
  })
})

test('the limiter does not follow a clock that is set back or forth', async () => {
  let now = 0
  const limiter = createRateLimiter(2, { now: () => now })
  expect((await limiter.charge('key', 2)).granted).toBe(true)
  now = 59_999
  expect((await limiter.charge('key', 1)).granted).toBe(false)
  now = 60_000
  expect((await limiter.charge('key', 1)).granted).toBe(true)
})
