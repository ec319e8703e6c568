import { setTimeout } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, onTestFinished, test, vi } from 'vitest'
import { rotateAccountToken } from '../src/account/actions.ts'
import { openDatabase } from '../src/db/database.ts'
import type { GatewayError } from '../src/errors.ts'
import { runCommand } from '../src/operator/run.ts'
import { listLiveTokens } from '../src/token/queries.ts'
import { StreamSlots } from '../src/token/stream-slots.ts'
import { watchTokens } from '../src/token/watch.ts'
import { startBreakableProxy } from './breakable-proxy.ts'
import { seed } from './seed.ts'
import { silentLogger } from './silent-logger.ts'
import { type Reader, readSse, TRANSPORTS } from './stream-clients.ts'
import { createTestDatabase, hasPostgres, startGatewayForTest, startTestGateway, type TestGateway } from './testkit.ts'

vi.mock('../src/token/queries.ts', { spy: true })

let gateway: TestGateway
beforeAll(async () => {
  gateway = await startTestGateway()
})
afterAll(() => gateway.close())

describe('looking up tokens', () => {
  const lookups = () => gateway.statements.filter((sql) => /from "tokens" .*where "digest"/.test(sql)).length

  test('a thousand at once cost one statement and one more, and each token has its own', async () => {
    const { db, lookUpToken } = gateway.services
    const [shop, other] = [await seed(db).account('shop'), await seed(db).account('other')]
    const before = lookups()
    const found = await Promise.all(Array.from({ length: 1_000 }, () => lookUpToken(shop.token)))
    expect(found.every((token) => token?.viewer.kind === 'account')).toBe(true)
    expect(lookups() - before).toBe(2)
    const [mine, theirs, nobodys] = await Promise.all([shop.token, other.token, 'unknown'].map(lookUpToken))
    expect([mine?.viewer, theirs?.viewer, nobodys]).toEqual([
      { kind: 'account', accountId: shop.id },
      { kind: 'account', accountId: other.id },
      undefined,
    ])
  })

  test('nobody is answered by a statement that had begun before the token was revoked', async () => {
    const { db, lookUpToken } = gateway.services
    const { token } = await seed(db).account('rotated')
    const began = lookUpToken(token)
    await rotateAccountToken(db, 'rotated')
    const later = lookUpToken(token)
    await began
    expect(await later).toBeUndefined()
  })
})

test('slots of streams are counted by token, and given back once', () => {
  const slots = new StreamSlots()
  const giveBacks = Array.from({ length: 20 }, () => slots.take('token'))
  expect(() => slots.take('token')).toThrow(/at once/)
  slots.take('another')
  giveBacks[0]?.()
  giveBacks[0]?.()
  slots.take('token')
  expect(() => slots.take('token')).toThrow(/at once/)
})

describe.each(TRANSPORTS)('without a look at the tokens, over %s', (_transport, read) => {
  const enter = async () => {
    const look = vi.mocked(listLiveTokens).mockImplementation(() => new Promise(() => {}))
    onTestFinished(() => void look.mockRestore())
    const blind = await startGatewayForTest()
    const { services } = blind
    const shop = await seed(services.db).account('shop')
    const sales = await shop.instance('sales')
    const [own, all] = [read(blind, sales.token), read(blind, shop.token)]
    await Promise.all([own.received(1), all.received(1)])
    const tools = {
      db: services.db,
      logger: services.logger,
      sealer: () => services.sealer,
      live: services,
      openSessions: async () => services.sessions,
    }
    return {
      own,
      all,
      mutate: async (name: string, selection: string) => {
        const query = `mutation { ${name}(input: { instance: { name: "sales" } }) { ${selection} } }`
        expect((await blind.post(query, shop.token)).errors).toBeUndefined()
      },
      command: (name: string, ...args: string[]) =>
        runCommand(tools, { name, args, options: {} }, { tell: () => {}, signal: new AbortController().signal }),
      tokenIdOf: async (kind: 'account' | 'instance') =>
        (await services.db.selectFrom('tokens').select('id').where('kind', '=', kind).executeTakeFirstOrThrow()).id,
    }
  }
  const isRevoked = async (reader: Reader) => {
    const outcome = await reader.ended()
    if (outcome.kind === 'error') expect(outcome.error).toMatchObject({ code: 4401 })
    else expect(reader.results.at(-1).errors[0].extensions.code).toBe('UNAUTHENTICATED')
  }
  const kinds = (reader: Reader) => reader.events.flatMap((event) => event?.kind ?? [])

  test('what this process revokes ends its streams, and no others', async () => {
    const { own, all, mutate, command, tokenIdOf } = await enter()
    await mutate('rotateInstanceToken', 'token')
    await isRevoked(own)
    expect(all.outcome).toEqual({ kind: 'open' })
    await command('token revoke', await tokenIdOf('account'))
    await isRevoked(all)
  })

  test('so does a new token of the account, which is told alone', async () => {
    const { own, all, command } = await enter()
    const { output } = (await command('account rotate-token', 'shop')) as { output: object }
    expect(Object.keys(output)).toEqual(['id', 'name', 'token'])
    await isRevoked(all)
    expect(own.outcome).toEqual({ kind: 'open' })
  })

  test.each([['by mutation'], ['by command']])('an instance that is deleted %s is told of first', async (how) => {
    const { own, all, mutate, command } = await enter()
    if (how === 'by mutation') await mutate('deleteInstance', 'deletedInstanceId')
    else await command('instance delete', 'shop', 'sales')
    await isRevoked(own)
    expect(kinds(own)).toEqual(['SNAPSHOT', 'REMOVED'])
    expect(all.outcome).toEqual({ kind: 'open' })
  })

  test('an account that is deleted ends its streams and those of its instances, which tell so first', async () => {
    const { own, all, command } = await enter()
    await command('account delete', 'shop')
    for (const reader of [own, all]) {
      await isRevoked(reader)
      expect(kinds(reader)).toEqual(['SNAPSHOT', 'REMOVED'])
    }
  })
})

describe.skipIf(!hasPostgres)('while the database is away', () => {
  const enter = async () => {
    const database = await createTestDatabase()
    const proxy = await startBreakableProxy(database.url)
    onTestFinished(async () => {
      await proxy.close()
      await database.drop()
    })
    return proxy
  }

  test('what is open goes on for a while, and ends with a reason to come back', async () => {
    const proxy = await enter()
    const { db, close } = await openDatabase({ databaseUrl: proxy.url, dataDir: '', logger: silentLogger })
    onTestFinished(close)
    const watch = watchTokens(db, silentLogger, 1_500)
    const end = vi.fn<(reason: GatewayError) => void>()
    await proxy.cut()
    const startedAt = performance.now()
    watch.hold('00000000-0000-4000-8000-000000000000', { end })
    await vi.waitFor(() => expect(end).toHaveBeenCalledOnce(), { timeout: 10_000 })
    expect(performance.now() - startedAt).toBeGreaterThan(1_500)
    expect(end.mock.lastCall?.[0].code).toBe('SERVICE_UNAVAILABLE')
    await setTimeout(700)
    expect(end).toHaveBeenCalledOnce()
  })

  test('a stream stays open, and one that cannot be opened is not told that its token is wrong', async () => {
    const proxy = await enter()
    const away = await startTestGateway({ databaseUrl: proxy.url })
    onTestFinished(async () => {
      await proxy.cut()
      await away.close()
    })
    const shop = await seed(away.services.db).account('shop')
    await shop.instance('sales')
    const reader = readSse(away, shop.token)
    await reader.received(1)
    await proxy.cut()
    await vi.waitFor(() => expect(away.services.readModel.isCurrent()).toBe(false))
    const refused = await fetch(`${away.url}/graphql?query=subscription{connectionChanged{kind}}`, {
      headers: { token: shop.token, accept: 'text/event-stream' },
    })
    expect([refused.status, refused.headers.has('retry-after')]).toEqual([503, true])
    await setTimeout(1_200)
    expect(reader.outcome).toEqual({ kind: 'open' })
    await proxy.restore()
    await rotateAccountToken(away.services.db, 'shop')
    await reader.ended()
    expect(reader.results.at(-1).errors[0].extensions.code).toBe('UNAUTHENTICATED')
  })
})
