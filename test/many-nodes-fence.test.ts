import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, onTestFinished, test } from 'vitest'
import { canCluster, type Cluster, type ClusterOptions, startClusterForTest } from './cluster.ts'
import { until } from './whatsapp.ts'

const BACK_WITHIN_MS = 25_000

/**
 * Has a node's writes get stuck on their way to the database until its sessions are another's: by then nothing but the
 * database itself can tell that they are stale.
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
  await until(
    () => cluster.ownedBy(a),
    (owned) => owned.length === 0,
    BACK_WITHIN_MS,
  )
  await cluster.comesToRest({ without: [a], patienceMs: BACK_WITHIN_MS })
  await a.toPostgres.restore()
  await sleep(2_000)
  await cluster.comesToRest()
  return cluster
}

/** The built gateway with a fence that lets everybody through. */
function buildWithoutFence(): string {
  const folder = join('dist', `unfenced-${process.pid}`)
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
  mkdirSync(folder)
  const FENCE = /exists \(select from session_owners where instance_id = \$\{\w+\} and epoch = \$\{\w+\} for share\)/g
  let patched = 0
  for (const name of readdirSync('dist').filter((file) => file.endsWith('.js'))) {
    const code = readFileSync(join('dist', name), 'utf8')
    writeFileSync(
      join(folder, name),
      code.replaceAll(FENCE, () => `${++patched} > 0`),
    )
  }
  expect(patched).toBeGreaterThan(0)
  return join(folder, 'main.js')
}

describe.skipIf(!canCluster)("an owner's writes that arrive when the session is another's", () => {
  test('are refused', async () => {
    const cluster = await delayWritesOfAnOwner({})
    expect(await cluster.wrongs()).toEqual([])
  }, 150_000)

  test('are found by the checker when nothing refuses them', async () => {
    const cluster = await delayWritesOfAnOwner({ main: buildWithoutFence() })
    expect(await cluster.wrongs()).toContainEqual(expect.stringMatching(/^a1 could (INSERT|UPDATE) \w+ of/))
  }, 150_000)
})
