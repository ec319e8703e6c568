import { setTimeout as sleep } from 'node:timers/promises'
import { sql } from 'kysely'
import { describe, expect, test } from 'vitest'
import { CALM_MS } from '../src/session/tending.ts'
import { movesIn } from './audit.ts'
import { canCluster, startClusterForTest } from './cluster.ts'
import { inDatabase } from './fleet.ts'
import { until } from './whatsapp.ts'

/** Of 18 sessions two nodes have 9 each; the first keeps two more than that. */
const MOVED = 7
/** A node looks every 2 s, or a little later. */
const BETWEEN_MOVES_MS = 1_500
const REST_MS = 7_000

/** When a node was started, and when each of its sessions came to it, by the database's clock, in ms. */
const arrivalsAt = (databaseUrl: string, node: string) =>
  inDatabase(databaseUrl, async (db) => {
    const { rows } = await sql<{ startedAt: Date; at: Date }>`
      select started_at as "startedAt", claimed_at as at
      from nodes join audit.labels using (id) join session_owners on node_id = nodes.id
      where label = ${node} order by claimed_at`.execute(db)
    return rows.map(({ startedAt, at }) => at.getTime() - startedAt.getTime())
  })

describe.skipIf(!canCluster)('a gateway that is started beside one that has all the sessions', () => {
  test('is given the idle ones up to its share, one after the other, each once, and then nothing moves', async () => {
    const cluster = await startClusterForTest({ first: ['a'] })
    const { a, b, c } = cluster.nodes
    await cluster.comesToRest({ without: [b, c] })
    expect(await cluster.ownedBy(a)).toHaveLength(cluster.ids.length)
    for (const number of cluster.numbers.slice(MOVED)) {
      await cluster.whatsapp.call('phone.showPresence', number, '15550000001', 'available')
    }

    await b.start()
    await until(
      () => cluster.ownedBy(b),
      (owned) => owned.length === MOVED,
      CALM_MS + 45_000,
    )
    await cluster.comesToRest({ without: [c] })
    await sleep(REST_MS)
    const moved = cluster.ids.slice(0, MOVED)
    expect((await cluster.ownedBy(b)).toSorted()).toEqual(moved.toSorted())
    expect(await movesIn(cluster.databaseUrl)).toEqual(new Map(moved.map((id) => [id, 1])))

    const [first = 0, ...later] = await arrivalsAt(cluster.databaseUrl, b.name)
    expect(first).toBeGreaterThan(CALM_MS)
    const pauses = later.map((at, index) => at - (later[index - 1] ?? first))
    expect(Math.min(...pauses)).toBeGreaterThan(BETWEEN_MOVES_MS)
    await cluster.comesToRest({ without: [c] })
    expect(await cluster.wrongs()).toEqual([])
  }, 240_000)
})
