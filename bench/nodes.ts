// npm run bench:nodes
// What it costs to lose a node, to run many, and what many bring; see docs/many-nodes.md. Prints a table, and fails when a
// figure is above its limit.
import { setTimeout as sleep } from 'node:timers/promises'
import { availableParallelism } from 'node:os'
import { Client } from 'pg'
import { afterAll, describe, expect, test } from 'vitest'
import {
  type Cluster,
  type ClusterNode,
  canCluster,
  startClusterForTest,
  type TimedObservation,
} from '../test/cluster.ts'
import { monotonicMs } from '../test/monotonic.ts'
import { until } from '../test/whatsapp.ts'
import { loadWith } from './load.ts'

const SESSIONS = 100
const BACK_WITHIN_MS = 60_000
const BETWEEN_LOGOUTS_MS = 200

type Figure = { what: string; measured: string; limit: string }
const figures: Figure[] = []

const percentile = (values: readonly number[], share: number): number => {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.ceil(sorted.length * share) - 1] ?? Number.NaN
}
const seconds = (ms: number) => `${(ms / 1_000).toFixed(1)} s`

/** How long after a moment each of some sessions had a socket again. */
async function backAfter({ sockets, ids, numbers }: Cluster, lost: readonly string[], from: number): Promise<number[]> {
  const found = await until(
    async () => {
      const opened = (await sockets()).filter(({ openedAt }) => openedAt > from)
      return lost.flatMap((id) => opened.find(({ number }) => number === numbers[ids.indexOf(id)])?.openedAt ?? [])
    },
    (times) => times.length === lost.length,
    BACK_WITHIN_MS,
  )
  return found.map((openedAt) => openedAt - from)
}

/** How long after a moment the last subscriber was told that a session is not connected as it was. */
function toldAfter(
  { observations }: Cluster,
  on: readonly ClusterNode[],
  lost: readonly string[],
  from: number,
): number {
  const first = on.flatMap(({ letter }) =>
    lost.map((id) => {
      const isIt = ({ observer, instanceId, at }: TimedObservation) =>
        observer === `on ${letter}` && instanceId === id && at > from
      return (observations.find(isIt)?.at ?? Number.NaN) - from
    }),
  )
  return Math.max(...first)
}

/** Loses the node with the most sessions in one way or the other. */
async function lose(how: 'kill' | 'pause' | 'stop') {
  const cluster = await startClusterForTest({ sessions: SESSIONS })
  await cluster.comesToRest()
  const owned = await Promise.all(cluster.all.map(async (node) => ({ node, ids: await cluster.ownedBy(node) })))
  const [first] = owned.toSorted((one, other) => other.ids.length - one.ids.length)
  if (!first) throw new Error('There is no node')
  const from = monotonicMs()
  await first.node[how]()
  const endedAfter = monotonicMs() - from
  const back = await backAfter(cluster, first.ids, from)
  const others = cluster.all.filter((node) => node !== first.node)
  await cluster.comesToRest({ without: [first.node] })
  return { lost: first.ids.length, back, truthfulAfter: toldAfter(cluster, others, first.ids, from), endedAfter }
}

async function withClient<Result>(databaseUrl: string, work: (client: Client) => Promise<Result>): Promise<Result> {
  const client = new Client({ connectionString: databaseUrl, application_name: 'bench' })
  await client.connect()
  try {
    return await work(client)
  } finally {
    await client.end()
  }
}

async function countsOf(client: Client): Promise<{ rows: number; transactions: number }> {
  const { rows } = await client.query(`
    select
      (select sum(n_tup_ins + n_tup_upd + n_tup_del)::float from pg_stat_user_tables
        where relname in ('nodes', 'session_owners')) as rows,
      (select xact_commit::float from pg_stat_database where datname = current_database()) as transactions`)
  return rows[0]
}

describe.runIf(canCluster)('many nodes', () => {
  afterAll(() => {
    const head: Figure = { what: 'figure', measured: 'measured', limit: 'limit' }
    const rule: Figure = { what: '---', measured: '---', limit: '---' }
    const table = [head, rule, ...figures].map(({ what, measured, limit }) => `| ${what} | ${measured} | ${limit} |`)
    process.stdout.write(
      `\n${table.join('\n')}\n\nNode ${process.version}, ${availableParallelism()} cores for three gateways, PostgreSQL, Redis, and the load.\n`,
    )
  })

  test.each([
    ['kill', 'kill -9 of a node'],
    ['pause', 'standstill of a node, as of one whose machine is lost,'],
  ] as const)('a node is lost: %s', async (how, what) => {
    const { lost, back, truthfulAfter } = await lose(how)
    const p95 = percentile(back, 0.95)
    figures.push(
      {
        what: `${what} with ${lost} of ${SESSIONS} sessions: states truthful`,
        measured: seconds(truthfulAfter),
        limit: '15 s',
      },
      { what: 'its sockets back, p95', measured: seconds(p95), limit: '20 s' },
    )
    expect(truthfulAfter).toBeLessThanOrEqual(15_000)
    expect(p95).toBeLessThanOrEqual(20_000)
  })

  test('a node is asked to end', async () => {
    const { lost, back, endedAfter } = await lose('stop')
    const slowest = Math.max(...back)
    figures.push(
      {
        what: `SIGTERM of a node with ${lost} of ${SESSIONS} sessions: sockets back, all`,
        measured: seconds(slowest),
        limit: '5 s',
      },
      { what: 'the process has ended', measured: seconds(endedAfter), limit: '' },
    )
    expect(slowest).toBeLessThanOrEqual(5_000)
  })

  test('a socket on one node changes, and a subscriber on another is told', async () => {
    const cluster = await startClusterForTest({ sessions: SESSIONS })
    await cluster.comesToRest()
    const owners = await cluster.owners()
    const delays: { own: number[]; other: number[] } = { own: [], other: [] }
    for (const [index, id] of cluster.ids.entries()) {
      // A logout, after which a node does nothing more: to open a link again keeps it busy for as long as is timed here.
      const from = monotonicMs()
      await cluster.whatsapp.call('phone.unlink', cluster.numbers[index])
      await sleep(BETWEEN_LOGOUTS_MS)
      for (const node of cluster.all) {
        const isFirst = ({ observer, instanceId, at }: TimedObservation) =>
          observer === `on ${node.letter}` && instanceId === id && at > from
        const delay = (cluster.observations.find(isFirst)?.at ?? Number.POSITIVE_INFINITY) - from
        delays[owners.get(id) === node.name ? 'own' : 'other'].push(delay)
      }
    }
    const p99 = percentile(delays.other, 0.99)
    const describe = (values: readonly number[]) =>
      `p50 ${percentile(values, 0.5).toFixed(1)} ms, p99 ${percentile(values, 0.99).toFixed(1)} ms`
    figures.push(
      { what: 'socket on node A to subscriber on node B', measured: describe(delays.other), limit: 'p99 50 ms' },
      { what: 'socket on node A to subscriber on node A', measured: describe(delays.own), limit: '' },
    )
    expect(p99).toBeLessThanOrEqual(50)
  })

  test('10,000 sessions are owned', async () => {
    const OWNED = 10_000
    const SECONDS = 30
    const cluster = await startClusterForTest({ sessions: 3 })
    await cluster.comesToRest()
    // What a connection has written is counted for sure when it has ended.
    await withClient(cluster.databaseUrl, async (client) => {
      await client.query(
        `insert into instances (id, account_id, name)
         select gen_random_uuid(), (select account_id from instances limit 1), 'owned-' || n from generate_series(1, $1::int) n`,
        [OWNED],
      )
      await client.query(`
        with live as (select id, epoch, row_number() over () - 1 as rank, count(*) over () as nodes from nodes),
        free as (select instance_id, row_number() over () as rank from session_owners where node_id is null)
        update session_owners set node_id = live.id, node_epoch = live.epoch, epoch = session_owners.epoch + 1,
          claimed_at = clock_timestamp() - interval '1 hour'
        from free join live on free.rank % live.nodes = live.rank
        where session_owners.instance_id = free.instance_id`)
    })
    await sleep(5_000)
    const before = await withClient(cluster.databaseUrl, countsOf)
    await sleep(SECONDS * 1_000)
    const after = await withClient(cluster.databaseUrl, countsOf)
    const owned = [...(await cluster.owners()).values()].filter((owner) => owner !== null).length
    expect(owned).toBeGreaterThanOrEqual(OWNED)
    const perSecond = (key: keyof typeof after) => (after[key] - before[key]) / SECONDS
    figures.push(
      {
        what: `rows written per second for ownership, ${owned} sessions on three nodes`,
        measured: perSecond('rows').toFixed(1),
        limit: '20',
      },
      {
        what: 'transactions per second of three idle nodes',
        measured: perSecond('transactions').toFixed(1),
        limit: '',
      },
    )
    expect(perSecond('rows')).toBeLessThanOrEqual(20)
  })

  test('two nodes are asked, and one', async () => {
    const SECONDS = 5
    const cluster = await startClusterForTest({ sessions: SESSIONS })
    await cluster.comesToRest()
    const { a, b } = cluster.nodes
    const ask = async ({ url }: ClusterNode) => {
      const { perSecond } = await loadWith(
        {
          method: 'POST',
          url: `${url}/graphql`,
          headers: { token: cluster.token, 'content-type': 'application/json', accept: 'application/json' },
          body: '{"query":"{ instances { name connection { state } } }"}',
          isHeavy: false,
        },
        SECONDS,
      )
      return perSecond
    }
    const one = await ask(a)
    const two = (await Promise.all([ask(a), ask(b)])).reduce((sum, perSecond) => sum + perSecond)
    expect(Math.min(one, two)).toBeGreaterThan(0)
    figures.push({
      what: `requests per second for ${SESSIONS} instances with their states: one node, two nodes`,
      measured: `${one.toFixed(0)}, ${two.toFixed(0)} (${(two / one).toFixed(2)} times)`,
      limit: '',
    })
  })
})
