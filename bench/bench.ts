// npm run bench [-- --sizes 1,100 --only W2-100,W4g,W5 --rounds 3 --seconds 2 --out bench-results]
// Measures the gateway against the project's own anchors, in alternating rounds, over one database; see README, "Speed".
import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs, promisify } from 'node:util'
import { Client } from 'pg'
import { canonical } from './canonical.ts'
import { type BenchData, prepareData } from './data.ts'
import type { Inside } from './inside.ts'
import { type FanOut, measureFanOut } from './fan-out.ts'
import { LOAD_TOOL, loadWith, type Request } from './load.ts'
import { cpuMsOf, moveToClientCore, pinned, SERVER_CORE, type ServerProcess, startServer } from './processes.ts'
import { markdown, type Measured, median, type Report, type Result, type ServerName } from './report.ts'
import { SIZES, type Work, worksOf } from './works.ts'

const WARM_UP_SECONDS = 1

const { values: options } = parseArgs({
  options: {
    sizes: { type: 'string', default: SIZES.join(',') },
    only: { type: 'string' },
    rounds: { type: 'string', default: '3' },
    seconds: { type: 'string', default: '2' },
    out: { type: 'string', default: 'bench-results' },
  },
})
const serverUrl = process.env.TEST_DATABASE_URL ?? 'postgres://postgres@127.0.0.1:5432/postgres'
const sizes = [...new Set([...options.sizes.split(',').map(Number), 100])].toSorted((a, b) => a - b)
const only = options.only?.split(',')
const works = worksOf(sizes).filter(({ name }) => !only || only.includes(name))
const rounds = Number(options.rounds)
const seconds = Number(options.seconds)

const say = (text: string) => process.stderr.write(`${text}\n`)

const gatewayEnvironment = (databaseUrl: string): Record<string, string> => ({
  DATABASE_URL: databaseUrl,
  ENCRYPTION_KEY: randomBytes(32).toString('base64'),
  DATA_DIR: 'data',
  DEMO: 'false',
  PORT: '0',
  RATE_LIMIT_PER_MINUTE: '1000000',
  LOG_LEVEL: 'warn',
})

/** Time from the start of the process to its first answer with rows in it. */
async function measureColdStart({ databaseUrl, tokens }: BenchData): Promise<number> {
  const gateway = await startServer('main.js', [], gatewayEnvironment(databaseUrl))
  const response = await fetch(`${gateway.url}/graphql`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', token: tokens.get(100) ?? '' },
    body: '{"query":"{ instances { name } }"}',
  })
  await response.text()
  const ms = performance.now() - gateway.startedAt
  await gateway.stop()
  return ms
}

async function lookInside(data: BenchData): Promise<Inside> {
  const question = { ...data, tokens: [...data.tokens], sizes }
  const [command = '', ...args] = pinned(SERVER_CORE, [process.execPath, '--expose-gc', join('dist', 'inside.js')])
  const { stdout } = await promisify(execFile)(command, [...args, JSON.stringify(question)], {
    env: { ...process.env, ...gatewayEnvironment(data.databaseUrl) },
  })
  return JSON.parse(stdout)
}

type Servers = Record<ServerName, ServerProcess>

const requestFor = (server: ServerName, { url }: ServerProcess, work: Work, token: string): Request => ({
  method: work.method,
  url: server === 'L0' ? `${url}/l0/${work.name}` : server === 'L0b' ? `${url}/l0b/${work.name}` : url + work.path,
  headers: { token, 'content-type': 'application/json', accept: 'application/json' },
  body: work.body,
  isHeavy: work.instances >= 1_000,
})

async function fetchBody({ method, url, headers, body }: Request): Promise<string> {
  const response = await fetch(url, { method, headers, ...(body && { body }) })
  if (response.status !== 200) throw new Error(`${url} was answered with ${response.status}: ${await response.text()}`)
  return response.text()
}

/** Nobody is timed who says something else. */
async function compareBodies(requests: Record<ServerName, Request>, { name }: Work): Promise<void> {
  const expected = canonical(await fetchBody(requests.L0))
  for (const [server, request] of Object.entries(requests)) {
    // Twice: what was read, and what was remembered.
    for (let time = 0; time < 2; time++) {
      if (canonical(await fetchBody(request)) !== expected) throw new Error(`${server} answers ${name} differently`)
    }
  }
}

async function measureWork(data: BenchData, servers: Servers, work: Work): Promise<Result[]> {
  const token = data.tokens.get(work.instances) ?? ''
  const names = Object.keys(servers) as ServerName[]
  const requests = Object.fromEntries(
    names.map((server) => [server, requestFor(server, servers[server], work, token)]),
  ) as Record<ServerName, Request>
  await compareBodies(requests, work)
  for (const server of names) await loadWith(requests[server], WARM_UP_SECONDS)
  if (new URL(data.databaseUrl).hostname === '127.0.0.1') moveToClientCore(await data.backends())

  const measured = Object.fromEntries(names.map((server) => [server, [] as Measured[]])) as Record<
    ServerName,
    Measured[]
  >
  for (let round = 0; round < rounds; round++) {
    for (const server of names) {
      const { pid } = servers[server]
      const cpuBefore = cpuMsOf(pid)
      const load = await loadWith(requests[server], seconds)
      measured[server].push({ ...load, cpuMsPerRequest: (cpuMsOf(pid) - cpuBefore) / load.requests })
    }
  }
  return names.map((server) => {
    const own = measured[server]
    const medianOf = (key: keyof Measured) => median(own.map((round) => round[key]))
    return {
      work: work.name,
      server,
      medians: {
        requests: medianOf('requests'),
        perSecond: medianOf('perSecond'),
        p50Ms: medianOf('p50Ms'),
        p99Ms: medianOf('p99Ms'),
        cpuMsPerRequest: medianOf('cpuMsPerRequest'),
      },
      ratioToL0: median(own.map(({ perSecond }, round) => perSecond / (measured.L0[round]?.perSecond ?? Number.NaN))),
    }
  })
}

async function measure(data: BenchData): Promise<Result[]> {
  const environment = gatewayEnvironment(data.databaseUrl)
  const anchor = await startServer('anchor.js', [data.databaseUrl, ...sizes.map(String)])
  const gateway = await startServer('main.js', [], environment)
  const plain = await startServer('main.js', [], { ...environment, READ_CACHE_MB: '0' })
  try {
    const results: Result[] = []
    for (const work of works) {
      const measured = await measureWork(data, { L0: anchor, gateway, plain, L0b: anchor }, work)
      results.push(...measured)
      say(
        measured
          .map(
            ({ server, ratioToL0, medians }) =>
              `${work.name} ${server}: ${medians.perSecond.toFixed(0)}/s, ${ratioToL0.toFixed(2)} x L0`,
          )
          .join('; '),
      )
    }
    return results
  } finally {
    for (const server of [anchor, gateway, plain]) await server.stop()
  }
}

async function versionOf(databaseUrl: string): Promise<string> {
  const client = new Client({ connectionString: databaseUrl })
  await client.connect()
  const { rows } = await client.query('show server_version')
  await client.end()
  return rows[0].server_version
}

say('Preparing data')
const data = await prepareData(serverUrl, sizes)
try {
  const coldStartMs = median([await measureColdStart(data), await measureColdStart(data), await measureColdStart(data)])
  say(`Cold start ${coldStartMs.toFixed(0)} ms`)
  const inside = await lookInside(data)
  const results = await measure(data)
  const fanOut: FanOut[] =
    !only || only.includes('W5')
      ? await measureFanOut(gatewayEnvironment(data.databaseUrl), data.followed, { rounds, say })
      : []
  const report: Report = {
    at: new Date().toISOString(),
    node: process.version,
    postgres: await versionOf(data.databaseUrl),
    loadTool: LOAD_TOOL,
    rounds,
    seconds,
    results,
    fanOut,
    inside,
    coldStartMs,
  }
  mkdirSync(options.out, { recursive: true })
  writeFileSync(join(options.out, 'bench.json'), `${JSON.stringify(report, null, 2)}\n`)
  writeFileSync(join(options.out, 'bench.md'), `${markdown(report)}\n`)
  process.stdout.write(`${markdown(report)}\n`)
} finally {
  await data.drop()
}
