import { setTimeout as sleep } from 'node:timers/promises'
import { sql } from 'kysely'
import { describe, expect, test } from 'vitest'
import { canCluster, type Cluster, type ClusterNode, startClusterForTest } from './cluster.ts'
import type { Stats } from './fake-whatsapp/server.ts'
import { ask, inDatabase } from './fleet.ts'
import { until } from './whatsapp.ts'

const BACK_WITHIN_MS = 25_000
const LEASE_MS = 10_000

const logins = async ({ whatsapp }: Pick<Cluster, 'whatsapp'>) =>
  (await whatsapp.call<Stats>('stats')).counts.login ?? 0

/** A session that a node does not own. */
async function elsewhere(cluster: Pick<Cluster, 'owners' | 'ids' | 'numbers'>, node: ClusterNode) {
  const owners = await cluster.owners()
  const index = cluster.ids.findIndex((id) => owners.get(id) !== node.name)
  return { id: cluster.ids[index] ?? '', number: cluster.numbers[index] ?? '' }
}

/** Has WhatsApp drop a session of another node, and waits until a node's subscriber has been told, also of its return. */
async function tellsOfDrop(cluster: Cluster, node: ClusterNode, patienceMs: number) {
  const { id, number } = await elsewhere(cluster, node)
  const before = node.told().get(id)?.sequence ?? 0
  await cluster.whatsapp.call('phone.drop', number)
  await until(
    () => node.told().get(id)?.sequence ?? 0,
    (sequence) => sequence > before,
    patienceMs,
  )
  await cluster.comesToRest({ patienceMs: 30_000 })
}

describe.skipIf(!canCluster)('three nodes, when', () => {
  test('the database is away for one of them, give its sessions to the others before it is told so', async () => {
    const { nodes, ...cluster } = await startClusterForTest()
    await cluster.comesToRest()
    expect((await cluster.ownedBy(nodes.b)).length).toBeGreaterThan(0)
    nodes.b.toPostgres.hang()
    await cluster.takenFrom(nodes.b, BACK_WITHIN_MS)
    await cluster.comesToRest({ without: [nodes.b], patienceMs: BACK_WITHIN_MS })
    expect(
      (await cluster.sockets()).filter(({ node, closedAt }) => node === nodes.b.name && closedAt === null),
    ).toEqual([])
    await nodes.b.toPostgres.restore()
    await cluster.comesToRest()
    await nodes.c.toPostgres.cut()
    await cluster.takenFrom(nodes.c, BACK_WITHIN_MS)
    await cluster.comesToRest({ without: [nodes.c], patienceMs: BACK_WITHIN_MS })
    await nodes.c.toPostgres.restore()
    await cluster.comesToRest()
    expect(await cluster.wrongs()).toEqual([])
  }, 150_000)

  test('one is asked to end while the database does not answer it, do not wait for it longer than a stop may take', async () => {
    const { nodes, ...cluster } = await startClusterForTest()
    await cluster.comesToRest()
    expect((await cluster.ownedBy(nodes.a)).length).toBeGreaterThan(0)
    nodes.a.toPostgres.hang()
    const { code, ms } = await nodes.a.stop()
    expect(code).toBe(0)
    expect(ms).toBeLessThan(10_000)
    await cluster.comesToRest({ without: [nodes.a], patienceMs: BACK_WITHIN_MS })
    expect(await cluster.wrongs()).toEqual([])
  }, 150_000)

  test('the database refuses what one of them gives away, open it again, and give it when that can be', async () => {
    const { nodes, databaseUrl, ...cluster } = await startClusterForTest()
    await cluster.comesToRest()
    expect((await cluster.ownedBy(nodes.a)).length).toBeGreaterThan(0)
    await inDatabase(databaseUrl, async (db) => {
      await sql`create function refuse() returns trigger language plpgsql as $$ begin raise 'refused'; end $$`.execute(
        db,
      )
      await sql`create trigger refusal before update on session_owners execute function refuse()`.execute(db)
      await sql`update nodes set is_draining = true
        where id = (select id from audit.labels where label = ${nodes.a.name})`.execute(db)
      await nodes.a.gateway().prints(/could not be handed over/)
      await sql`drop trigger refusal on session_owners`.execute(db)
    })
    await cluster.takenFrom(nodes.a, BACK_WITHIN_MS)
    await cluster.comesToRest()
    expect(await cluster.wrongs()).toEqual([])
  }, 150_000)

  test('the bus is away for one of them, keep their sessions, and it learns of the others all the same', async () => {
    const cluster = await startClusterForTest()
    const { nodes } = cluster
    await cluster.comesToRest()
    const before = await logins(cluster)
    await nodes.a.toRedis.cut()
    await sleep(LEASE_MS)
    await tellsOfDrop(cluster, nodes.a, 10_000)
    await nodes.a.toRedis.restore()
    await tellsOfDrop(cluster, nodes.a, 10_000)
    nodes.b.toRedis.hang()
    await tellsOfDrop(cluster, nodes.b, 30_000)
    await nodes.b.toRedis.restore()
    await cluster.comesToRest({ patienceMs: 30_000 })
    // None but those that were dropped came again.
    expect(await logins(cluster)).toBe(before + 3)
    expect(await cluster.wrongs()).toEqual([])
  }, 150_000)

  test('the bus is emptied and restarted, keep their sessions and are told of changes as before', async () => {
    const cluster = await startClusterForTest()
    await cluster.comesToRest()
    const before = await logins(cluster)
    await cluster.redis.flush()
    await cluster.redis.restart()
    for (const node of cluster.all) await tellsOfDrop(cluster, node, 30_000)
    await cluster.redis.kill()
    for (const node of cluster.all) await tellsOfDrop(cluster, node, 30_000)
    await cluster.redis.start()
    await cluster.comesToRest({ patienceMs: 30_000 })
    expect(await logins(cluster)).toBe(before + 6)
    expect(await cluster.wrongs()).toEqual([])
  }, 150_000)

  test('the database is restarted, keep their sessions; when it is away for long, close them and come back', async () => {
    const cluster = await startClusterForTest()
    await cluster.comesToRest()
    const before = await logins(cluster)
    await cluster.postgres.restart()
    await sleep(LEASE_MS)
    await cluster.comesToRest()
    expect(await logins(cluster)).toBe(before)
    await cluster.postgres.kill()
    await until(cluster.live, (live) => live.length === 0, LEASE_MS + 5_000)
    await cluster.postgres.start()
    await cluster.comesToRest()
    expect(await cluster.wrongs()).toEqual([])
  }, 150_000)

  test('the clock of one is set by an hour while messages come, keep their sessions', async () => {
    const { nodes, ...cluster } = await startClusterForTest({ skewMs: { a: 0 } })
    await cluster.comesToRest()
    const [owners, before] = [await cluster.owners(), await logins(cluster)]
    const mine = cluster.ids.flatMap((id, index) => (owners.get(id) === nodes.a.name ? [cluster.numbers[index]] : []))
    expect(mine.length).toBeGreaterThan(0)
    nodes.a.gateway().signal('SIGUSR2')
    const order = `mutation { connectInstance(input: { instance: { id: "${cluster.ids[cluster.numbers.indexOf(mine[0] ?? '')]}" } }) { instance { id } } }`
    const [answer] = await Promise.all([
      ask(nodes.a.url, cluster.token, order),
      ...mine.map((number) => cluster.whatsapp.call('phone.writeToSelf', number, 'hello')),
    ])
    expect(answer.errors).toBeUndefined()
    await sleep(LEASE_MS)
    expect(await cluster.owners()).toEqual(owners)
    expect(await logins(cluster)).toBe(before)
    await cluster.comesToRest()
    expect(await cluster.wrongs()).toEqual([])
  }, 150_000)

  test('the clocks of two are off by an hour, take over from one that is killed, and from no other', async () => {
    const { nodes, ...cluster } = await startClusterForTest({ skewMs: { a: 3_600_000, b: -3_600_000 } })
    await cluster.comesToRest()
    const [owners, before] = [await cluster.owners(), await logins(cluster)]
    await sleep(LEASE_MS + 5_000)
    expect(await cluster.owners()).toEqual(owners)
    expect(await logins(cluster)).toBe(before)
    await nodes.c.kill()
    await cluster.comesToRest({ without: [nodes.c], patienceMs: BACK_WITHIN_MS })
    await nodes.c.start()
    await cluster.comesToRest()
    expect(await cluster.wrongs()).toEqual([])
  }, 150_000)
})
