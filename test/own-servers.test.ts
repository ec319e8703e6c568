import { Client } from 'pg'
import { createConnection } from 'node:net'
import { once } from 'node:events'
import { describe, expect, test } from 'vitest'
import { hasOwnPostgres, startOwnPostgresForTest } from './own-postgres.ts'
import { hasOwnRedis, startOwnRedisForTest } from './own-redis.ts'
import { hasProgram } from './own-server.ts'

const ANSWERS_WITHIN_MS = 2_000

/** Runs a statement over a new connection. */
async function ask(url: string, statement: string): Promise<unknown[]> {
  const client = new Client({
    connectionString: url,
    connectionTimeoutMillis: ANSWERS_WITHIN_MS,
    query_timeout: ANSWERS_WITHIN_MS,
  })
  await client.connect()
  try {
    const { rows } = await client.query({ text: statement, rowMode: 'array' })
    return rows.flat()
  } finally {
    await client.end()
  }
}

/** Gives Redis an order and returns its first answer. */
async function order(port: number, text: string): Promise<string> {
  const socket = createConnection(port, '127.0.0.1')
  try {
    socket.write(`${text}\r\n`)
    const [answer] = await once(socket, 'data', { signal: AbortSignal.timeout(ANSWERS_WITHIN_MS) })
    return String(answer).trim()
  } finally {
    socket.destroy()
  }
}

describe.skipIf(!hasOwnPostgres)("a PostgreSQL of a test's own", () => {
  test('has its data on its port after a restart and after a crash, and answers after it was frozen', async () => {
    const postgres = await startOwnPostgresForTest()
    const url = await postgres.createDatabase('shop')
    await ask(url, 'create table kept as select 7 as number')
    await postgres.restart()
    expect(await ask(url, 'select number from kept')).toEqual([7])

    await postgres.kill()
    await expect(ask(url, 'select')).rejects.toThrow('ECONNREFUSED')
    await postgres.start()
    expect(await ask(url, 'select number from kept')).toEqual([7])

    const open = new Client({ connectionString: url, query_timeout: 500 })
    await open.connect()
    postgres.pause()
    await expect(open.query('select number from kept')).rejects.toThrow('timeout')
    await expect(ask(url, 'select number from kept')).rejects.toThrow('timeout')
    postgres.resume()
    expect(await ask(url, 'select number from kept')).toEqual([7])
    await open.end()
  })
})

describe.skipIf(!hasOwnRedis)("a Redis of a test's own", () => {
  test('has its data on its port after a restart, forgets it when told to, and answers after it was frozen', async () => {
    const redis = await startOwnRedisForTest()
    await order(redis.port, 'SET kept 7')
    await redis.restart()
    expect(await order(redis.port, 'GET kept')).toBe('$1\r\n7')

    await redis.kill()
    await expect(order(redis.port, 'GET kept')).rejects.toThrow('ECONNREFUSED')
    await redis.start()
    expect(await order(redis.port, 'GET kept')).toBe('$1\r\n7')
    await redis.flush()
    expect(await order(redis.port, 'GET kept')).toBe('$-1')

    redis.pause()
    await expect(order(redis.port, 'PING')).rejects.toThrow('aborted')
    redis.resume()
    expect(await order(redis.port, 'PING')).toBe('+PONG')
  })
})

test('a machine without them is passed over, but not in CI', () => {
  const { CI } = process.env
  try {
    process.env.CI = 'true'
    expect(() => hasProgram(null, 'a server')).toThrow('The tests need a server on this machine')
    delete process.env.CI
    expect(hasProgram(null, 'a server')).toBe(false)
  } finally {
    if (CI === undefined) delete process.env.CI
    else process.env.CI = CI
  }
})
