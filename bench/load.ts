import { execFile } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { CLIENT_CORE, has, pinned } from './processes.ts'

const run = promisify(execFile)

const CONNECTIONS = 32
const HEAVY_CONNECTIONS = 4
const TIMEOUT_SECONDS = 20

/** `isHeavy`: an answer takes a while, and what waits at the end of a load would burden the next one. */
export type Request = { method: string; url: string; headers: Record<string, string>; body: string; isHeavy: boolean }
export type Load = { requests: number; perSecond: number; p50Ms: number; p99Ms: number }

/** wrk costs the client's core less than autocannon, so that the server is what is measured. */
export const LOAD_TOOL = has('wrk') ? 'wrk' : 'autocannon'

/** @throws when an answer was not 200 */
export const loadWith = (request: Request, seconds: number): Promise<Load> =>
  LOAD_TOOL === 'wrk' ? wrk(request, seconds) : autocannon(request, seconds)

const connectionsOf = (isHeavy: boolean) => (isHeavy ? HEAVY_CONNECTIONS : CONNECTIONS)

const exec = async (command: readonly string[]): Promise<string> => {
  const [program = '', ...args] = pinned(CLIENT_CORE, command)
  return (await run(program, args, { maxBuffer: 16 * 1024 * 1024 })).stdout
}

/** Printed by wrk itself at the end, as JSON; latencies are in microseconds there. */
const WRK_DONE = `done = function(summary, latency)
  local errors = summary.errors.status + summary.errors.connect + summary.errors.read + summary.errors.timeout
  io.write(string.format('@{"requests":%d,"us":%d,"p50":%d,"p99":%d,"errors":%d}@', summary.requests, summary.duration,
    latency:percentile(50), latency:percentile(99), errors))
end`

async function wrk({ method, url, headers, body, isHeavy }: Request, seconds: number): Promise<Load> {
  const folder = mkdtempSync(join(tmpdir(), 'switchboard-bench-'))
  const script = join(folder, 'request.lua')
  const set = Object.entries(headers).map(([name, value]) => `wrk.headers[ ${lua(name)} ] = ${lua(value)}`)
  writeFileSync(script, [`wrk.method = ${lua(method)}`, `wrk.body = ${lua(body)}`, ...set, WRK_DONE].join('\n'))
  try {
    const printed = await exec([
      'wrk',
      '-t1',
      `-c${connectionsOf(isHeavy)}`,
      `-d${seconds}s`,
      `--timeout=${TIMEOUT_SECONDS}s`,
      `-s${script}`,
      url,
    ])
    const { requests, us, p50, p99, errors } = JSON.parse(/@(.*)@/.exec(printed)?.[1] ?? 'null')
    if (errors > 0) throw new Error(`${errors} requests to ${url} failed`)
    return { requests, perSecond: (requests * 1_000_000) / us, p50Ms: p50 / 1000, p99Ms: p99 / 1000 }
  } finally {
    rmSync(folder, { recursive: true })
  }
}

const lua = (text: string) => `[==[${text}]==]`

async function autocannon({ method, url, headers, body, isHeavy }: Request, seconds: number): Promise<Load> {
  const printed = await exec([
    process.execPath,
    join('node_modules', 'autocannon', 'autocannon.js'),
    '--json',
    `--connections=${connectionsOf(isHeavy)}`,
    `--timeout=${TIMEOUT_SECONDS}`,
    `--duration=${seconds}`,
    `--method=${method}`,
    ...Object.entries(headers).flatMap(([name, value]) => ['--headers', `${name}=${value}`]),
    ...(body ? ['--body', body] : []),
    url,
  ])
  const { requests, latency, duration, non2xx, errors } = JSON.parse(printed)
  if (non2xx + errors > 0) throw new Error(`${non2xx + errors} requests to ${url} failed`)
  return { requests: requests.total, perSecond: requests.total / duration, p50Ms: latency.p50, p99Ms: latency.p99 }
}
