import { Client } from 'pg'
import { describe, expect, test } from 'vitest'
import { NotPostgres } from '../src/db/postgres-socket.ts'
import { inTransaction } from '../src/db/transaction.ts'
import { isUnavailable } from '../src/db/unavailable.ts'
import { seed } from './seed.ts'
import { hasPostgres, postgresUrl, startGatewayForTest } from './testkit.ts'

const failure = (code: string) => Object.assign(new Error('the server said no'), { code })

describe('a failure', () => {
  test.each(['08006', '53100', '53200', '53300', '55000', '3D000', '28P01', '28000', '57P01', '58030', '58P01'])(
    'with %s means that the database is not there for us now',
    (code) => expect(isUnavailable(failure(code))).toBe(true),
  )
  test('for another server at the address means the same', () => {
    expect(isUnavailable(new NotPostgres())).toBe(true)
  })
  test.each(['23505', '22P02', '42P01', '42501', 'XX000'])('with %s does not', (code) => {
    expect(isUnavailable(failure(code))).toBe(false)
  })
})

describe('a transaction', () => {
  const fail = async (codes: string[]) => {
    const { services } = await startGatewayForTest()
    let runs = 0
    const work = async () => {
      const code = codes[runs++]
      if (code) throw failure(code)
      return 'done'
    }
    const outcome = await inTransaction(services.db, work).catch((error: unknown) => error)
    return { outcome, runs }
  }

  test.each(['40001', '40P01', '55P03'])('that lost against another one (%s) is done again, once', async (code) => {
    expect(await fail([code])).toEqual({ outcome: 'done', runs: 2 })
    const { outcome, runs } = await fail([code, code, code])
    expect([isUnavailable(outcome), runs]).toEqual([true, 2])
  })
  test('that failed for another reason is not', async () => {
    expect(await fail(['23505'])).toMatchObject({ outcome: { code: '23505' }, runs: 1 })
  })
})

test.skipIf(!hasPostgres)('a database that takes no connections, or is gone, is answered with 503', async () => {
  const gateway = await startGatewayForTest()
  const shop = await seed(gateway.services.db).account('shop')
  const database = new URL(gateway.services.config.databaseUrl ?? '').pathname.slice(1)
  const administrator = new Client({ connectionString: postgresUrl ?? '' })
  await administrator.connect()
  const ask = async () => {
    await administrator.query('select pg_terminate_backend(pid) from pg_stat_activity where datname = $1', [database])
    const [rest, graphql] = await Promise.all([
      gateway.get('/api/instance/list', shop.token),
      gateway.post('{ instances { name } }', shop.token),
    ])
    return [rest.status, graphql.status, graphql.errors?.[0]?.extensions.code]
  }
  try {
    await administrator.query(`alter database ${database} allow_connections false`)
    await expect.poll(ask, { timeout: 5_000 }).toEqual([503, 503, 'SERVICE_UNAVAILABLE'])
    await administrator.query(`alter database ${database} rename to ${database}_gone`)
    await expect.poll(ask, { timeout: 5_000 }).toEqual([503, 503, 'SERVICE_UNAVAILABLE'])
  } finally {
    await administrator.query(`alter database ${database}_gone rename to ${database}`)
    await administrator.query(`alter database ${database} allow_connections true`)
    await administrator.end()
  }
  expect((await gateway.get('/api/instance/list', shop.token)).status).toBe(200)
})
