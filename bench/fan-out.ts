import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout } from 'node:timers/promises'
import type { BenchData } from './data.ts'
import { CLIENT_CORE, pinned, SERVER_CORE } from './processes.ts'
import { median } from './report.ts'

const INSTANCES = 100
const BURSTS = 6
/** Changes of one instance are merged for so long, and a bit more. */
const BETWEEN_BURSTS_MS = 500
/** Readers that come and go before anything is weighed: what the first ones cost once is no cost of a reader. */
const FIRST_READERS = 500
/** What has just ended is let go in the meantime. */
const SETTLING_MS = 2_000

/** So many readers, each told of so many changes in a burst. */
const SIZES = [
  { readers: 1_000, events: 100 },
  { readers: 5_000, events: 40 },
]

type Burst = { perSecond: number; p50Ms: number; p99Ms: number }
type Weight = { rss: number; heapUsed: number }

export type FanOut = Burst & {
  transport: 'sse' | 'ws'
  server: 'gateway' | 'plain'
  readers: number
  events: number
  /** What an idle reader costs the server. */
  rssBytes: number
  heapBytes: number
}

/** A child that is given orders by lines, and answers by lines. */
function startTool(core: 0 | 1, script: string, args: readonly string[], environment: Record<string, string> = {}) {
  const [command = '', ...rest] = pinned(core, [process.execPath, join('dist', script), ...args])
  const { PATH = '', HOME = '' } = process.env
  const child: ChildProcess = spawn(command, rest, {
    env: { PATH, HOME, ...environment },
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  const exited = once(child, 'exit')
  const lines = createInterface({ input: child.stdout as NodeJS.ReadableStream })[Symbol.asyncIterator]()
  return {
    order: (line: string) => void child.stdin?.write(`${line}\n`),
    next: async (): Promise<string> => {
      const { value, done } = await lines.next()
      if (done) throw new Error(`${script} has ended`)
      return value
    },
    stop: async () => {
      child.kill('SIGKILL')
      await exited
    },
  }
}

type Tool = ReturnType<typeof startTool>

async function measureOne(
  { environment, followed }: { environment: Record<string, string>; followed: BenchData['followed'] },
  { transport, server, readers, events }: Pick<FanOut, 'transport' | 'server' | 'readers' | 'events'>,
): Promise<FanOut> {
  const serverArgs = server === 'gateway' ? ['gateway', followed.accountId] : ['plain', String(INSTANCES)]
  const served = startTool(SERVER_CORE, 'fan-out-server.js', serverArgs, environment)
  const started = [served]
  const weigh = async (): Promise<Weight> => {
    await setTimeout(SETTLING_MS)
    served.order('weigh')
    return JSON.parse(await served.next())
  }
  const burst = async (clients: Tool): Promise<Burst> => {
    await setTimeout(BETWEEN_BURSTS_MS)
    served.order(`burst ${events}`)
    return JSON.parse(await clients.next())
  }
  try {
    const port = /\d+$/.exec(await served.next())?.[0] ?? ''
    const open = async (count: number): Promise<Tool> => {
      const args = [transport, port, count, INSTANCES, events, ...followed.tokens].map(String)
      const clients = startTool(CLIENT_CORE, 'fan-out-clients.js', args)
      started.push(clients)
      await clients.next()
      return clients
    }
    const first = await open(FIRST_READERS)
    await burst(first)
    await first.stop()
    const before = await weigh()
    const clients = await open(readers)
    const bursts: Burst[] = []
    for (let round = 0; round < BURSTS; round++) bursts.push(await burst(clients))
    const idle = await weigh()
    const medianOf = (key: keyof Burst) => median(bursts.slice(1).map((measured) => measured[key]))
    return {
      transport,
      server,
      readers,
      events,
      perSecond: medianOf('perSecond'),
      p50Ms: medianOf('p50Ms'),
      p99Ms: medianOf('p99Ms'),
      rssBytes: (idle.rss - before.rss) / readers,
      heapBytes: (idle.heapUsed - before.heapUsed) / readers,
    }
  } finally {
    for (const tool of started) await tool.stop()
  }
}

const kb = (bytes: number) => (bytes / 1024).toFixed(1)

const FIGURES = ['perSecond', 'p50Ms', 'p99Ms', 'rssBytes', 'heapBytes'] as const

const mediansOf = (measured: readonly FanOut[]): FanOut => ({
  ...(measured[0] as FanOut),
  ...Object.fromEntries(FIGURES.map((figure) => [figure, median(measured.map((one) => one[figure]))])),
})

/**
 * W5: a burst of changes to many readers of one operation, beside sockets that are written the same. New processes take
 * turns: how fast a socket is written depends on whether its reader happens to sleep, for as long as a process lives.
 */
export async function measureFanOut(
  environment: Record<string, string>,
  followed: BenchData['followed'],
  { rounds, say }: { rounds: number; say(text: string): void },
): Promise<FanOut[]> {
  const results: FanOut[] = []
  for (const transport of ['sse', 'ws'] as const) {
    for (const size of SIZES) {
      const measured = { plain: [] as FanOut[], gateway: [] as FanOut[] }
      for (let round = 0; round < rounds; round++) {
        for (const server of ['plain', 'gateway'] as const) {
          measured[server].push(await measureOne({ environment, followed }, { transport, server, ...size }))
        }
      }
      for (const server of ['plain', 'gateway'] as const) {
        const result = mediansOf(measured[server])
        results.push(result)
        say(
          `W5 ${transport} ${size.readers} x ${size.events} ${server}: ${result.perSecond.toFixed(0)}/s ` +
            `(${measured[server].map(({ perSecond }) => perSecond.toFixed(0)).join(', ')}), p50 ${result.p50Ms.toFixed(1)}, ` +
            `p99 ${result.p99Ms.toFixed(1)} ms, RSS ${kb(result.rssBytes)} KB, heap ${kb(result.heapBytes)} KB a reader`,
        )
      }
    }
  }
  return results
}
