import type { FanOut } from './fan-out.ts'
import type { Inside } from './inside.ts'
import type { Load } from './load.ts'

/** The servers that are compared, in the order of the table. */
export const SERVERS = { gateway: 'gateway', plain: 'plain road', L0: 'L0', L0b: 'L0b' } as const
export type ServerName = keyof typeof SERVERS

export type Measured = Load & { cpuMsPerRequest: number }
export type Result = { work: string; server: ServerName; medians: Measured; ratioToL0: number }

export type Report = {
  at: string
  node: string
  postgres: string
  loadTool: string
  rounds: number
  seconds: number
  results: Result[]
  fanOut: FanOut[]
  inside: Inside
  coldStartMs: number
}

export const median = (values: readonly number[]): number => {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = sorted.length / 2
  return sorted.length % 2 === 1
    ? (sorted[Math.floor(middle)] ?? Number.NaN)
    : ((sorted[middle - 1] ?? Number.NaN) + (sorted[middle] ?? Number.NaN)) / 2
}

/** @param sorted from the least to the most */
export const quantile = (sorted: readonly number[], share: number): number =>
  sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN

const digits = (value: number, count = 2) =>
  value >= 10 ? String(Math.round(value)) : String(Number(value.toPrecision(count)))

const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`

/** One row a work: the gateway and its plain road against L0, and what a request costs. */
export function markdown({ results, fanOut, inside, coldStartMs, ...run }: Report): string {
  const of = (work: string, server: ServerName) =>
    results.find((result) => result.work === work && result.server === server)
  const rows = [...new Set(results.map(({ work }) => work))].map((work) => {
    const [gateway, plain, l0, l0b] = (Object.keys(SERVERS) as ServerName[]).map((server) => of(work, server))
    if (!gateway || !plain || !l0 || !l0b) throw new Error(`${work} was not measured on every server`)
    const statements = inside.statements[work]
    return [
      work,
      `**${digits(gateway.ratioToL0)}**`,
      digits(plain.ratioToL0),
      digits(l0b.ratioToL0),
      digits(gateway.medians.perSecond),
      `${digits(gateway.medians.p50Ms)} / ${digits(gateway.medians.p99Ms)}`,
      digits(gateway.medians.cpuMsPerRequest),
      `${statements?.warm} / ${statements?.cold}`,
    ]
  })
  const head = [
    'work',
    'gateway',
    'plain road',
    'L0b',
    'requests/s',
    'p50 / p99 ms',
    'CPU ms',
    'statements warm / cold',
  ]
  return [
    line(head),
    line(head.map(() => '---')),
    ...rows.map(line),
    '',
    ...fanOutTable(fanOut),
    '',
    `Node ${run.node}, PostgreSQL ${run.postgres}, ${run.loadTool}, medians of ${run.rounds} rounds of ${run.seconds} s. ` +
      `Memory per cached account of 10 instances: ${Math.round(inside.bytesPerAccount / 1024)} KB. ` +
      `Cold start to the first answer, database there: ${digits(coldStartMs / 1000)} s.`,
  ].join('\n')
}

const kb = (bytes: number) => digits(bytes / 1024)

/** A row for so many readers over one transport, the gateway beside plain sockets. */
function fanOutTable(results: readonly FanOut[]): string[] {
  const pairs = results
    .filter(({ server }) => server === 'gateway')
    .flatMap((gateway) => {
      const { transport, readers } = gateway
      const plain = results.find(
        (one) => one.server === 'plain' && one.transport === transport && one.readers === readers,
      )
      return plain ? [{ gateway, plain }] : []
    })
  const head = [
    'fan-out',
    'x plain sockets',
    'deliveries/s',
    'p50 / p99 ms',
    'plain p50 / p99 ms',
    'RSS (heap) a reader, KB',
    'plain RSS (heap)',
  ]
  return [
    line(head),
    line(head.map(() => '---')),
    ...pairs.map(({ gateway, plain }) =>
      line([
        `W5 ${gateway.transport === 'sse' ? 'SSE' : 'WebSocket'}, ${gateway.readers} readers, ${gateway.events} changes`,
        `**${digits(gateway.perSecond / plain.perSecond)}**`,
        digits(gateway.perSecond),
        `${digits(gateway.p50Ms)} / ${digits(gateway.p99Ms)}`,
        `${digits(plain.p50Ms)} / ${digits(plain.p99Ms)}`,
        `${kb(gateway.rssBytes)} (${kb(gateway.heapBytes)})`,
        `${kb(plain.rssBytes)} (${kb(plain.heapBytes)})`,
      ]),
    ),
  ]
}
