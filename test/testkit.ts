import { randomUUID } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Writable } from 'node:stream'
import { Client } from 'pg'
import { pino } from 'pino'
import { inject, onTestFinished } from 'vitest'
import { type Config, readConfig } from '../src/config.ts'
import { type Gateway, type Instruments, startGateway } from '../src/gateway.ts'
import type { TypedDocumentString } from './generated/graphql.ts'

export const postgresUrl = inject('postgresUrl')
export const hasPostgres = postgresUrl !== null

export const TEST_KEY = Buffer.alloc(32, 7).toString('base64')

/** An empty, migrated database of a test's own, and the function that drops it. */
export async function createTestDatabase(
  template = inject('templateDatabase'),
): Promise<{ url: string; drop(): Promise<void> }> {
  if (!postgresUrl) throw new Error('This test needs PostgreSQL: skip it with test.skipIf(!hasPostgres)')
  const name = `${inject('templateDatabase').replace('_template', '')}_${randomUUID().slice(0, 8)}`
  await administer(template ? `create database ${name} template ${template}` : `create database ${name}`)
  const url = Object.assign(new URL(postgresUrl), { pathname: `/${name}` }).href
  return { url, drop: () => administer(`drop database if exists ${name} with (force)`) }
}

async function administer(statement: string): Promise<void> {
  const client = new Client({ connectionString: postgresUrl ?? '' })
  await client.connect()
  // Cloning waits for other clones of the template; a moment later it is free.
  for (let attempt = 1; ; attempt++) {
    try {
      await client.query(statement)
      break
    } catch (error) {
      if ((error as { code?: string }).code !== '55006' || attempt > 50) throw error
      await new Promise((resolve) => setTimeout(resolve, 100))
    }
  }
  await client.end()
}

export const createTempDir = (): string => mkdtempSync(join(tmpdir(), 'switchboard-test-'))

export type TestGateway = Gateway & {
  /** The SQL of every statement since `statements` was last emptied. */
  statements: string[]
  /** The log lines, parsed. */
  log: Record<string, unknown>[]
  get(path: string, token?: string, headers?: Record<string, string>): Promise<Response>
  graphql<Result, Variables>(
    document: TypedDocumentString<Result, Variables>,
    variables: Variables,
    token?: string,
  ): Promise<Result>
  /** A GraphQL request as text, with all of its answer. */
  post(
    query: string,
    token?: string,
    options?: { variables?: unknown; operationName?: string; headers?: Record<string, string> },
  ): Promise<GraphQLAnswer>
}

export type GraphQLAnswer = {
  status: number
  headers: Headers
  data?: any
  errors?: { message: string; path?: unknown[]; extensions: Record<string, unknown> & { code: string } }[]
}

/** A gateway on a port and a database of its own; a rate limit that does not get in the way unless it is asked for. */
export async function startTestGateway(
  overrides: Partial<Config> = {},
  instruments: Pick<Instruments, 'timings' | 'calmMs'> = {},
): Promise<TestGateway> {
  const database = hasPostgres && overrides.databaseUrl === undefined ? await createTestDatabase() : null
  const dataDir = overrides.dataDir ?? createTempDir()
  const config: Config = {
    ...readConfig('gateway', {}),
    host: '127.0.0.1',
    port: 0,
    dataDir,
    databaseUrl: database?.url ?? null,
    encryptionKey: Buffer.from(TEST_KEY, 'base64'),
    demo: false,
    rateLimitPerMinute: 1_000_000,
    ...overrides,
  }
  const log: Record<string, unknown>[] = []
  const sink = new Writable({
    write: (line, _encoding, done) => {
      log.push(JSON.parse(String(line)))
      done()
    },
  })
  const statements: string[] = []
  const gateway = await startGateway(config, pino({ level: 'debug' }, sink), {
    ...instruments,
    onStatement: ({ query }) => statements.push(query.sql),
  })

  const post: TestGateway['post'] = async (query, token, { variables, operationName, headers } = {}) => {
    const response = await fetch(`${gateway.url}/graphql`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...(token && { token }), ...headers },
      body: JSON.stringify({ query, variables, operationName }),
    })
    return { ...((await response.json()) as object), status: response.status, headers: response.headers }
  }

  return {
    ...gateway,
    statements,
    log,
    get: (path, token, headers) => fetch(`${gateway.url}${path}`, { headers: { ...(token && { token }), ...headers } }),
    post,
    graphql: async (document, variables, token) => {
      const { data, errors, status } = await post(document.toString(), token, { variables })
      if (errors || !data) throw new Error(`HTTP ${status} ${JSON.stringify(errors)}\n${document}`)
      return data
    },
    close: async () => {
      await gateway.close()
      await database?.drop()
      if (!overrides.dataDir) rmSync(dataDir, { recursive: true, force: true })
    },
  }
}

/** The same for one test, closed when it ends. */
export async function startGatewayForTest(overrides: Partial<Config> = {}): Promise<TestGateway> {
  const gateway = await startTestGateway(overrides)
  onTestFinished(gateway.close)
  return gateway
}
