import { sql } from 'kysely'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import { canCluster, type Cluster, type ClusterOptions, startClusterForTest } from './cluster.ts'
import { inDatabase } from './fleet.ts'
import { until } from './whatsapp.ts'

const BACK_WITHIN_MS = 25_000

/**
 * Has the writes of a node get stuck on their way to the database until its sessions are another's: by then nothing but
 * the database itself can tell that they are stale.
 */
async function delayWritesOfAnOwner(options: ClusterOptions): Promise<Cluster> {
  const cluster = await startClusterForTest(options)
  const { a } = cluster.nodes
  await cluster.comesToRest()
  const lost = await cluster.ownedBy(a)
  expect(lost.length).toBeGreaterThan(0)
  a.toPostgres.hang()
  for (const id of lost) {
    const number = cluster.numbers[cluster.ids.indexOf(id)]
    await cluster.whatsapp.call('phone.writeToSelf', number, 'hello', 'Named while nothing came through')
  }
  await cluster.takenFrom(a, BACK_WITHIN_MS)
  await cluster.comesToRest({ without: [a], patienceMs: BACK_WITHIN_MS })
  return cluster
}

/** Over new connections a node is there again, and is given all sessions, while its writes of before are stuck yet. */
async function giveEverythingTo({ nodes, databaseUrl, ids, ownedBy }: Cluster): Promise<void> {
  nodes.a.toPostgres.restoreForNewConnections()
  await nodes.a.gateway().prints(/"this node was taken for gone/)
  await inDatabase(databaseUrl, async (db) => {
    await sql`update nodes set is_draining = true
      where id not in (select id from audit.labels where label = ${nodes.a.name})`.execute(db)
  })
  await until(
    () => ownedBy(nodes.a),
    (owned) => owned.length === ids.length,
    BACK_WITHIN_MS,
  )
}

async function letWritesArrive({ nodes, comesToRest, wrongs }: Cluster): Promise<string[]> {
  await nodes.a.toPostgres.restore()
  await sleep(2_000)
  await comesToRest()
  return wrongs()
}

describe.skipIf(!canCluster)("an owner's writes that arrive when the session is", { timeout: 150_000 }, () => {
  test("another's are refused", async () => {
    const cluster = await delayWritesOfAnOwner({})
    expect(await letWritesArrive(cluster)).toEqual([])
  })

  test("another's are found by the checker when nothing refuses them", async () => {
    const cluster = await delayWritesOfAnOwner({ fence: () => 'true' })
    expect(await letWritesArrive(cluster)).toContainEqual(
      expect.stringMatching(/^a1 could (INSERT|UPDATE) \w+ of \S+ under \d+, which [bc]1 owned/),
    )
  })

  test('its own again are refused', async () => {
    const cluster = await delayWritesOfAnOwner({})
    await giveEverythingTo(cluster)
    expect(await letWritesArrive(cluster)).toEqual([])
  })

  test('its own again are found by the checker when the fence asks for the owner and not for the epoch', async () => {
    const cluster = await delayWritesOfAnOwner({
      fence: (_, instance) =>
        `exists (select from session_owners join audit.labels on id = node_id where instance_id = ${instance} and label = audit.label())`,
    })
    await giveEverythingTo(cluster)
    expect(await letWritesArrive(cluster)).toContainEqual(
      expect.stringMatching(/^a1 could (INSERT|UPDATE) \w+ of \S+ under \d+, which a1 owned/),
    )
  })
})
