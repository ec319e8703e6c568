// Prints what an await costs before and after 1,000 key stores were used and dropped, in microseconds.
//   --cured: with the cure, as a gateway loads Baileys
import { performance } from 'node:perf_hooks'
import { cureAsyncStorage } from '../src/session/async-storage-cure.ts'
import { silentLogger } from './silent-logger.ts'

const STORES = 1_000
const AWAITS = 2_000
const ROUNDS = 7

if (process.argv.includes('--cured')) cureAsyncStorage()
const { addTransactionCapability } = await import('@whiskeysockets/baileys')

/** The best of several rounds: others use the machine, too. */
async function costOfAwait(): Promise<number> {
  let best = Number.POSITIVE_INFINITY
  for (let round = 0; round < ROUNDS; round++) {
    const startedAt = performance.now()
    for (let index = 0; index < AWAITS; index++) await Promise.resolve()
    best = Math.min(best, performance.now() - startedAt)
  }
  return (best / AWAITS) * 1_000
}

const before = await costOfAwait()
let transactions = 0
for (let index = 0; index < STORES; index++) {
  const store = addTransactionCapability({ get: () => ({}), set: () => {} }, silentLogger, {
    maxCommitRetries: 1,
    delayBetweenTriesMs: 1,
  })
  await store.transaction(async () => void transactions++, 'key')
}
process.stdout.write(JSON.stringify({ before, after: await costOfAwait(), transactions }))
