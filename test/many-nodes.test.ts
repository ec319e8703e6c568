import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import { canCluster, type Cluster, type ClusterNode, startClusterForTest } from './cluster.ts'
import type { Stats } from './fake-whatsapp/server.ts'
import { ask } from './fleet.ts'
import { until } from './whatsapp.ts'

/** How long the others may call a lost node's sessions connected, and how long those may be without a socket. */
const TRUTHFUL_WITHIN_MS = 15_000
const BACK_WITHIN_MS = 25_000

/** Gives a node a command for an instance; returns the state that it answers. */
async function order({ token }: Cluster, { url }: ClusterNode, field: string, id: string): Promise<string> {
  const mutation = `mutation { ${field}(input: { instance: { id: "${id}" } }) { instance { connection { state } } } }`
  const { data, errors } = await ask(url, token, mutation)
  if (errors) throw new Error(JSON.stringify(errors))
  return data[field].instance.connection.state
}

describe.skipIf(!canCluster)('three nodes', { timeout: 120_000 }, () => {
  test('share the sessions, and each knows the state of all of them', async () => {
    const cluster = await startClusterForTest()
    await cluster.comesToRest()
    const shares = await Promise.all(cluster.all.map(async (node) => (await cluster.ownedBy(node)).length))
    expect(shares.reduce((sum, share) => sum + share)).toBe(cluster.ids.length)
    expect(Math.min(...shares)).toBeGreaterThan(0)
    expect(await cluster.wrongs()).toEqual([])
  })

  test('do for any of them what is asked of another', async () => {
    const cluster = await startClusterForTest()
    await cluster.comesToRest()
    const owners = await cluster.owners()
    for (const node of cluster.all) {
      const id = cluster.ids.find((one) => owners.get(one) !== node.name) ?? ''
      expect(await order(cluster, node, 'disconnectInstance', id)).toBe('DISCONNECTED')
      for (const other of cluster.all) {
        await until(
          async () => [other.told().get(id)?.state, (await other.states()).get(id)],
          (states) => states.every((state) => state === 'DISCONNECTED'),
          5_000,
        )
      }
      expect(await order(cluster, node, 'connectInstance', id)).toMatch(/^CONNECT/)
    }
    await cluster.comesToRest()
    expect(await cluster.wrongs()).toEqual([])
  })

  test('forget the credentials of what was logged out through any of them, and of nothing else', async () => {
    const cluster = await startClusterForTest({ sessions: 6 })
    const { a } = cluster.nodes
    await cluster.comesToRest()
    const owners = await cluster.owners()
    const id = cluster.ids.find((one) => owners.get(one) !== a.name) ?? ''
    expect(await order(cluster, a, 'logoutInstance', id)).toBe('LOGGED_OUT')
    expect(await cluster.wrongs(new Set([id]))).toEqual([])
    expect(await cluster.wrongs()).toEqual([
      `${owners.get(id)} deleted the credentials of ${id}, which was not logged out`,
    ])
  })

  test('take over from one that is killed, and say in the meantime that its sessions are not connected', async () => {
    const { nodes, ...cluster } = await startClusterForTest()
    await cluster.comesToRest()
    const lost = await cluster.ownedBy(nodes.b)
    expect(lost.length).toBeGreaterThan(0)
    await nodes.b.kill()
    const without = [nodes.b]
    await until(
      () => cluster.falselyConnected({ without }),
      (wrongs) => wrongs.length === 0,
      TRUTHFUL_WITHIN_MS,
    )
    await cluster.comesToRest({ without, patienceMs: BACK_WITHIN_MS })
    await nodes.b.start()
    await cluster.comesToRest()
    const { counts } = await cluster.whatsapp.call<Stats>('stats')
    expect(counts.registration ?? 0).toBe(0)
    expect(await cluster.wrongs()).toEqual([])
  })

  test('take over from one that is stopped for half a minute, which lets go when it runs again', async () => {
    const { nodes, ...cluster } = await startClusterForTest()
    await cluster.comesToRest()
    expect((await cluster.ownedBy(nodes.a)).length).toBeGreaterThan(0)
    nodes.a.pause()
    await cluster.takenFrom(nodes.a, BACK_WITHIN_MS)
    const without = [nodes.a]
    await cluster.comesToRest({ without, patienceMs: BACK_WITHIN_MS })
    await sleep(18_000)
    nodes.a.resume()
    await cluster.comesToRest()
    expect(await cluster.wrongs()).toEqual([])
  })

  test('are given the sessions of one that is asked to end, at once', async () => {
    const { nodes, ...cluster } = await startClusterForTest()
    await cluster.comesToRest()
    const { code, ms } = await nodes.c.stop()
    expect(code).toBe(0)
    expect(ms).toBeLessThan(5_000)
    const without = [nodes.c]
    await cluster.comesToRest({ without, patienceMs: 5_000 })
    expect(await cluster.wrongs()).toEqual([])
  })
})
