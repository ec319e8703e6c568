import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, onTestFinished, test } from 'vitest'
import { movesIn } from './audit.ts'
import { canCluster, type Cluster, startClusterForTest } from './cluster.ts'
import { ask } from './fleet.ts'

const CLIENTS = 12
const ATTEMPTS = 6
const BETWEEN_ATTEMPTS_MS = 500
const BETWEEN_REQUESTS_MS = 50

/** A client that asks one node after the other, and again when it was refused, as one behind a load balancer does. */
function keepAsking({ all, token }: Cluster) {
  const load = { answered: 0, failures: [] as string[], stop: async () => {} }
  const end = new AbortController()
  let turn = 0
  const attempt = async (query: string, turn: number) => {
    const node = all[turn % all.length]
    const answer = await ask(node?.url ?? '', token, query).catch((error: Error) => ({ errors: error.message }))
    return answer.errors ? `${node?.name}: ${JSON.stringify(answer.errors)}` : null
  }
  const request = async (query: string) => {
    const refusals: string[] = []
    const first = turn++
    for (let attempts = 0; attempts < ATTEMPTS; attempts++) {
      const refusal = await attempt(query, first + attempts)
      if (refusal === null) return void load.answered++
      refusals.push(refusal)
      await sleep(BETWEEN_ATTEMPTS_MS)
    }
    load.failures.push(`${query}: ${refusals.join('; ')}`)
  }
  const work = async (queries: readonly string[]) => {
    for (let count = 0; !end.signal.aborted; count++) {
      await request(queries[count % queries.length] ?? '')
      await sleep(BETWEEN_REQUESTS_MS)
    }
  }
  const of = (name: string) => `instance: { name: "${name}" }`
  const orders = [
    ['{ instances { name connection { state } } }', '{ viewer { __typename } }'],
    [1, 2, 3].map(
      (path) =>
        `mutation { setWebhook(input: { ${of('number-00000')}, config: { url: "https://example.com/${path}" } }) { webhook { url } } }`,
    ),
    [1, 2, 3].map(
      (number) => `mutation { connectInstance(input: { ${of(`number-0000${number}`)} }) { instance { id } } }`,
    ),
  ]
  const working = Promise.all(
    Array.from({ length: CLIENTS }, (_, client) => work(orders[client % orders.length] ?? [])),
  )
  load.stop = async () => {
    end.abort()
    await working
  }
  onTestFinished(load.stop)
  return load
}

describe.skipIf(!canCluster)('three nodes that are restarted one after the other, under load', () => {
  test('move each session twice at most, and refuse nothing that a retry does not heal', async () => {
    const cluster = await startClusterForTest()
    await cluster.comesToRest()
    const load = keepAsking(cluster)
    for (const node of cluster.all) {
      expect(await node.stop()).toMatchObject({ code: 0 })
      await node.start()
    }
    await cluster.comesToRest()
    await load.stop()
    expect(load.failures).toEqual([])
    expect(load.answered).toBeGreaterThan(100)
    expect(Math.max(0, ...(await movesIn(cluster.databaseUrl)).values())).toBeLessThanOrEqual(2)
    expect(await cluster.wrongs()).toEqual([])
  }, 150_000)
})
