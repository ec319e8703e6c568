import { execFileSync } from 'node:child_process'
import { chownSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { Client } from 'pg'
import { onTestFinished } from 'vitest'
import { freePort } from './free-port.ts'
import { findProgram, hasProgram, type OwnServer, startOwnServer } from './own-server.ts'

/** Debian and its kin keep the server's programs out of PATH, one folder a version. */
const DEBIAN_FOLDER = '/usr/lib/postgresql'

const program = findProgram(['postgres']) ?? findProgram(['postgres'], debianFolders())

/** Whether this machine can start a PostgreSQL of a test's own. */
export const hasOwnPostgres = hasProgram(program, 'the programs of a PostgreSQL server')

export type OwnPostgres = OwnServer & {
  /** Makes an empty database, and returns its address. */
  createDatabase(name: string): Promise<string>
}

/** Starts a server on a free port. It keeps what it has acknowledged, as in earnest: a test may crash it. */
export async function startOwnPostgres(): Promise<OwnPostgres> {
  if (program === null)
    throw new Error('This test needs a PostgreSQL of its own: skip it with test.skipIf(!hasOwnPostgres)')
  const port = await freePort()
  const folder = mkdtempSync(join(tmpdir(), 'switchboard-postgres-'))
  const removeData = () => rmSync(folder, { recursive: true, force: true })
  const user = unprivileged()
  const options = { cwd: folder, ...user }
  if (user) chownSync(folder, user.uid, user.gid)
  try {
    execFileSync(
      join(dirname(program), 'initdb'),
      [
        '--pgdata',
        folder,
        '--username',
        'postgres',
        '--auth',
        'trust',
        '--no-sync',
        '--encoding',
        'UTF8',
        '--locale',
        'C',
      ],
      { ...options, stdio: ['ignore', 'ignore', 'pipe'] },
    )
  } catch (error) {
    removeData()
    throw error
  }
  const url = `postgres://postgres@127.0.0.1:${port}/postgres`
  const settings = {
    listen_addresses: '127.0.0.1',
    port: String(port),
    unix_socket_directories: '',
    max_connections: '200',
  }
  const server = await startOwnServer({
    url,
    port,
    command: [
      program,
      '-D',
      folder,
      ...Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]),
    ],
    environment: { DATA_DIR: folder },
    options,
    // Connections are ended and transactions rolled back: nobody waits for clients.
    stopSignal: 'SIGINT',
    probe: () => query(url, 'select'),
    removeData,
  })
  return {
    ...server,
    createDatabase: async (name) => {
      await query(url, `create database ${name}`)
      return Object.assign(new URL(url), { pathname: `/${name}` }).href
    },
  }
}

export async function startOwnPostgresForTest(): Promise<OwnPostgres> {
  const postgres = await startOwnPostgres()
  onTestFinished(postgres.close)
  return postgres
}

async function query(url: string, statement: string): Promise<void> {
  const client = new Client({ connectionString: url, connectionTimeoutMillis: 1_000, query_timeout: 10_000 })
  // A server that is stopped ends the connection, which the statement's failure tells as well.
  client.on('error', () => {})
  await client.connect()
  try {
    await client.query(statement)
  } finally {
    await client.end()
  }
}

function debianFolders(): string[] {
  try {
    const versions = readdirSync(DEBIAN_FOLDER).toSorted((a, b) => Number(b) - Number(a))
    return versions.map((version) => join(DEBIAN_FOLDER, version, 'bin'))
  } catch {
    return []
  }
}

/** PostgreSQL refuses to be run by root: the user that its package has made runs it then. */
function unprivileged(): { uid: number; gid: number } | null {
  if (process.getuid?.() !== 0) return null
  const idOf = (option: string) => Number(execFileSync('id', [option, 'postgres'], { encoding: 'utf8' }))
  return { uid: idOf('-u'), gid: idOf('-g') }
}
