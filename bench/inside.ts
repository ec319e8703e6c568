// A gateway in a process of its own that can be looked into: statements per request, and memory per cached account.
// Prints JSON. Run with --expose-gc.
import { setTimeout } from 'node:timers/promises'
import { pino } from 'pino'
import { readConfig } from '../src/config.ts'
import { startGateway } from '../src/gateway.ts'
import { type Work, worksOf } from './works.ts'

const WARM_REQUESTS = 10
/** What a start still asks of the database is not the request's. */
const SETTLE_MS = 1_500

export type Inside = {
  /** Per work: statements of the first request of an account, and of one after it. */
  statements: Record<string, { cold: number; warm: number }>
  /** Bytes of heap and buffers for one account of the small size, fully read. */
  bytesPerAccount: number
}

type Question = { databaseUrl: string; tokens: [number, string][]; smallAccounts: string[]; sizes: number[] }

const { databaseUrl, tokens, smallAccounts, sizes }: Question = JSON.parse(process.argv[2] ?? '')
const tokenOf = new Map(tokens)

let statements = 0
async function open() {
  const config = { ...readConfig('gateway'), databaseUrl, port: 0 }
  return startGateway(config, pino({ level: 'silent' }), { onStatement: () => void statements++ })
}

async function ask(url: string, { method, path, body }: Work, token: string): Promise<void> {
  const response = await fetch(url + path, {
    method,
    headers: { token, 'content-type': 'application/json', accept: 'application/json' },
    ...(body && { body }),
  })
  await response.arrayBuffer()
  if (!response.ok) throw new Error(`${path} was answered with ${response.status}`)
}

async function countStatements(work: Work): Promise<{ cold: number; warm: number }> {
  const gateway = await open()
  try {
    const token = tokenOf.get(work.instances) ?? ''
    await setTimeout(SETTLE_MS)
    statements = 0
    await ask(gateway.url, work, token)
    const cold = statements
    for (let request = 0; request < WARM_REQUESTS; request++) await ask(gateway.url, work, token)
    return { cold, warm: (statements - cold) / WARM_REQUESTS }
  } finally {
    await gateway.close()
  }
}

/** What stays after everything else was collected. */
function usedBytes(): number {
  globalThis.gc?.()
  globalThis.gc?.()
  const { heapUsed, external } = process.memoryUsage()
  return heapUsed + external
}

async function weighAccount(full: Work): Promise<number> {
  const gateway = await open()
  try {
    const [first = '', ...others] = smallAccounts
    for (let request = 0; request < WARM_REQUESTS; request++) await ask(gateway.url, full, first)
    const before = usedBytes()
    for (const token of others) await ask(gateway.url, full, token)
    return (usedBytes() - before) / others.length
  } finally {
    await gateway.close()
  }
}

const works = worksOf(sizes)
const counted: Inside['statements'] = {}
for (const work of works) counted[work.name] = await countStatements(work)
const full = works.find(({ name }) => name.startsWith('W2'))
const answer: Inside = { statements: counted, bytesPerAccount: full ? await weighAccount(full) : Number.NaN }
process.stdout.write(JSON.stringify(answer))
