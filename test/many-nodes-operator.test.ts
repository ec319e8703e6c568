import { describe, expect, test } from 'vitest'
import { runCli } from './child.ts'
import { canCluster, type ClusterNode, startClusterForTest } from './cluster.ts'
import { createDataDirForTest } from './data-dir.ts'
import { TEST_KEY } from './testkit.ts'
import { until } from './whatsapp.ts'

type Shown = { id: string; address: string; owned: number; running: number; state: string; leaseSeconds: number }

/** As its log tells of what others have handed over to it. */
const sessionsTakenBy = ({ printed }: ClusterNode): number[] =>
  [...printed().matchAll(/"sessions":(\d+),"msg":"other nodes have handed/g)].map(([, sessions]) => Number(sessions))

describe.skipIf(!canCluster)('an operator of three nodes', () => {
  test('sees them, finds an instance, and drains one, which has given everything when that is said and goes on answering', async () => {
    const cluster = await startClusterForTest()
    await cluster.comesToRest()
    const environment = {
      DATABASE_URL: cluster.databaseUrl,
      DATA_DIR: createDataDirForTest(),
      ENCRYPTION_KEY: TEST_KEY,
    }
    const cli = async (...command: string[]) =>
      JSON.parse((await runCli([...command, '--json'], environment)).stdout) as Record<string, unknown>
    const nodes = async () => (await cli('node', 'list')).nodes as Shown[]

    const shown = await nodes()
    expect(shown.map(({ state }) => state)).toEqual(['live', 'live', 'live'])
    expect(shown.every(({ leaseSeconds }) => leaseSeconds > 0 && leaseSeconds <= 10)).toBe(true)
    expect(shown.reduce((sum, { owned }) => sum + owned, 0)).toBe(cluster.ids.length)
    expect(cluster.all.map(({ printed }) => / Node: +(\S+ at \S+)\n/.exec(printed())?.[1])).toEqual(
      shown.map(({ id, address }) => `${id} at ${address}`),
    )

    const where = await cli('instance', 'where', 'shop', 'number-00000')
    expect(where).toMatchObject({
      id: cluster.ids[0],
      address: expect.stringMatching(/:\d+$/),
      epoch: expect.any(Number),
    })
    const owner = (await cluster.owners()).get(cluster.ids[0] ?? '')
    const drained = cluster.all.find(({ name }) => name === owner)
    const id = String(where.node)
    const output = await cli('node', 'drain', id.slice(0, 12))
    expect(output).toMatchObject({ id, successors: 2 })
    expect((await nodes()).find((node) => node.id === id)).toMatchObject({ state: 'draining', running: 0, owned: 0 })
    expect((await fetch(`${drained?.url}/health/ready`)).status).toBe(200)
    await cluster.comesToRest()
    expect(drained && (await cluster.ownedBy(drained))).toEqual([])
    expect([...((await drained?.states()) ?? new Map()).values()]).toEqual(cluster.ids.map(() => 'CONNECTED'))
    expect(await cli('instance', 'where', 'shop', 'number-00000')).not.toMatchObject({ node: id })

    await until(
      () => cluster.all.flatMap(sessionsTakenBy).reduce((sum, sessions) => sum + sessions, 0),
      (taken) => taken === output.sessions,
      10_000,
    )

    expect(await cli('node', 'drain', 'nobody')).toMatchObject({
      error: {
        code: 'BAD_USER_INPUT',
        message: 'There is no live node nobody. "node list" shows those that there are',
      },
    })
    for (const other of (await nodes()).filter((node) => node.id !== id).slice(1))
      await cli('node', 'drain', other.address)
    const last = (await nodes()).find(({ state }) => state === 'live')
    expect(await cli('node', 'drain', last?.id ?? '')).toMatchObject({ error: { code: 'CONFLICT' } })
    expect(await cluster.wrongs()).toEqual([])
  }, 120_000)
})
