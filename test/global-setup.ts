import { randomUUID } from 'node:crypto'
import { Client } from 'pg'
import type { TestProject } from 'vitest/node'
import { openDatabase } from '../src/db/database.ts'
import { migrateToLatest } from '../src/db/migrate.ts'
import { silentLogger } from './silent-logger.ts'

declare module 'vitest' {
  interface ProvidedContext {
    /** Address of a PostgreSQL server that tests may make databases on; null: there is none. */
    postgresUrl: string | null
    /** A migrated, empty database on it, to be cloned. */
    templateDatabase: string
  }
}

const DEFAULT_URL = 'postgres://postgres@127.0.0.1:5432/postgres'

const withDatabase = (url: string, database: string) => Object.assign(new URL(url), { pathname: `/${database}` }).href

async function connect(url: string): Promise<Client | Error> {
  const client = new Client({ connectionString: url, connectionTimeoutMillis: 3_000 })
  try {
    await client.connect()
    return client
  } catch (error) {
    return error as Error
  }
}

/** Says what the tests run against, and prepares it: PostgreSQL where there is one, else the embedded database. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const asked = process.env.TEST_DATABASE_URL
  const url = asked ?? DEFAULT_URL
  const client = await connect(url)
  if (client instanceof Error) {
    if (asked || process.env.CI === 'true')
      throw new Error(
        `No PostgreSQL for the tests: ${client.message}. Set TEST_DATABASE_URL to a server on which databases may be made`,
      )
    console.log(
      'Testing against the embedded database. No PostgreSQL was found, so tests that need one are skipped; TEST_DATABASE_URL names one.',
    )
    project.provide('postgresUrl', null)
    project.provide('templateDatabase', '')
    return async () => {}
  }

  const { rows } = await client.query('select current_setting($1) as version', ['server_version'])
  console.log(
    `Testing against PostgreSQL ${rows[0].version}${asked ? '' : ' on 127.0.0.1:5432'}, in databases of its own that are dropped again.`,
  )
  const run = `switchboard_test_${randomUUID().slice(0, 8)}`
  const template = `${run}_template`
  await client.query(`create database ${template}`)
  const { db, close } = await openDatabase({
    databaseUrl: withDatabase(url, template),
    dataDir: '',
    logger: silentLogger,
  })
  await migrateToLatest(db)
  await close()
  project.provide('postgresUrl', url)
  project.provide('templateDatabase', template)

  return async () => {
    const left = await client.query('select datname from pg_database where datname like $1', [`${run}%`])
    for (const { datname } of left.rows) await client.query(`drop database if exists ${datname} with (force)`)
    await client.end()
  }
}
