import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'
import { freePort } from './free-port.ts'
import { findProgram, hasProgram, type OwnServer, startOwnServer } from './own-server.ts'

const program = findProgram(['valkey-server', 'redis-server'])

/** Whether this machine can start a Redis or Valkey of a test's own. */
export const hasOwnRedis = hasProgram(program, 'redis-server or valkey-server')

const PROBE_TIMEOUT_MS = 1_000

export type OwnRedis = OwnServer & {
  /** Forgets all of its data. */
  flush(): Promise<void>
}

/** Starts a server on a free port, whose data survives a restart. */
export async function startOwnRedis(): Promise<OwnRedis> {
  if (program === null) throw new Error('This test needs Redis or Valkey: skip it with test.skipIf(!hasOwnRedis)')
  const port = await freePort()
  const folder = mkdtempSync(join(tmpdir(), 'switchboard-redis-'))
  const server = await startOwnServer({
    url: `redis://127.0.0.1:${port}`,
    port,
    command: [
      program,
      '--bind',
      '127.0.0.1',
      '--port',
      String(port),
      '--dir',
      folder,
      '--appendonly',
      'yes',
      '--save',
      '',
    ],
    environment: { DATA_DIR: folder },
    options: { cwd: folder },
    stopSignal: 'SIGTERM',
    probe: () => command(port, 'PING', '+PONG'),
    removeData: () => rmSync(folder, { recursive: true, force: true }),
  })
  return { ...server, flush: () => command(port, 'FLUSHALL', '+OK') }
}

export async function startOwnRedisForTest(): Promise<OwnRedis> {
  const redis = await startOwnRedis()
  onTestFinished(redis.close)
  return redis
}

/** Gives one order over a connection of its own; the tests need no client for more. */
async function command(port: number, order: string, expected: string): Promise<void> {
  const socket = connect(port, '127.0.0.1')
  try {
    socket.write(`${order}\r\n`)
    const [answer] = await once(socket, 'data', { signal: AbortSignal.timeout(PROBE_TIMEOUT_MS) })
    if (!String(answer).startsWith(expected)) throw new Error(`${order} was answered with ${String(answer)}`)
  } finally {
    socket.destroy()
  }
}
