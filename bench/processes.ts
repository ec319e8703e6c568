import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'

export const has = (command: string): boolean => spawnSync('which', [command]).status === 0

const CAN_PIN = has('taskset') && availableParallelism() > 1

/** The server alone on one core; the client, beside PostgreSQL, on the other. */
export const pinned = (core: 0 | 1, command: readonly string[]): readonly string[] =>
  CAN_PIN ? ['taskset', '--cpu-list', String(core), ...command] : command

export const SERVER_CORE = 0
export const CLIENT_CORE = 1

/** Moves running processes to the client's core, where this user may; PostgreSQL's are its own otherwise. */
export function moveToClientCore(pids: readonly number[]): void {
  if (!CAN_PIN) return
  for (const pid of pids) spawnSync('taskset', ['--pid', '--cpu-list', String(CLIENT_CORE), String(pid)])
}

export type ServerProcess = { pid: number; url: string; startedAt: number; stop(): Promise<void> }

/** Starts one of the built programs, alone on its core, and waits for the port that it prints. */
export async function startServer(
  script: string,
  args: readonly string[],
  environment: Record<string, string> = {},
): Promise<ServerProcess> {
  const startedAt = performance.now()
  const [command = '', ...rest] = pinned(SERVER_CORE, [process.execPath, join('dist', script), ...args])
  const { PATH = '', HOME = '' } = process.env
  const child = spawn(command, rest, { env: { PATH, HOME, ...environment }, stdio: ['ignore', 'pipe', 'inherit'] })
  const port = await portPrintedBy(child)
  return {
    pid: child.pid ?? 0,
    url: `http://127.0.0.1:${port}`,
    startedAt,
    stop: async () => {
      const exited = once(child, 'exit')
      child.kill('SIGTERM')
      await exited
    },
  }
}

function portPrintedBy(child: ChildProcess): Promise<string> {
  return new Promise((resolve, reject) => {
    let printed = ''
    child.once('exit', (code) => reject(new Error(`The server ended with ${code}: ${printed}`)))
    child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      printed += text
      const port = /(?:listening on |127\.0\.0\.1:)(\d+)/.exec(printed)?.[1]
      if (port) resolve(port)
    })
  })
}

const TICKS_PER_SECOND = 100

/** Milliseconds of CPU that a process has used, on Linux; else NaN. */
export function cpuMsOf(pid: number): number {
  if (process.platform !== 'linux') return Number.NaN
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
  const [user = 0, system = 0] = stat
    .slice(stat.lastIndexOf(')') + 2)
    .split(' ')
    .slice(11, 13)
    .map(Number)
  return ((user + system) * 1000) / TICKS_PER_SECOND
}
