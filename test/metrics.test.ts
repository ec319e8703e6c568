import { expect, onTestFinished, test, vi } from 'vitest'
import { Metrics } from '../src/metrics.ts'
import { serveMetrics } from '../src/metrics-server.ts'
import { seed } from './seed.ts'
import { silentLogger } from './silent-logger.ts'
import { hasPostgres, startGatewayForTest } from './testkit.ts'

const serveForTest = async (metrics: Metrics) => {
  const serving = await serveMetrics(metrics, { host: '127.0.0.1', port: 0, logger: silentLogger })
  onTestFinished(serving.close)
  return serving.url
}
const read = async (url: string) => (await fetch(url)).text()

test('a gateway with METRICS_PORT tells of its sessions, its limiter and its process on a port of its own', async () => {
  const gateway = await startGatewayForTest({ metricsPort: 0 })
  const response = await fetch(gateway.metricsUrl ?? '')
  expect(response.headers.get('content-type')).toMatch(/^text\/plain; version=0\.0\.4/)
  const text = await response.text()
  const states = [...text.matchAll(/^switchboard_sessions\{state="(\w+)"\} 0$/gm)].map(([, state]) => state)
  expect(states).toEqual(['connected', 'connecting', 'disconnected', 'logged_out'])
  for (const told of [
    'live_nodes 1',
    'owned_sessions 0',
    'handovers_total 0',
    'refused_writes_total 0',
    'failed_renewals_total 0',
  ]) {
    expect(text).toContain(`switchboard_${told}\n`)
  }
  expect(text).toContain('switchboard_rate_limit_mode{mode="alone"} 1\n')
  expect(text).toContain('switchboard_rate_limit_mode{mode="share"} 0\n')
  expect(text).toContain('switchboard_rate_limit_share_total 0\n')
  expect(text).toMatch(/^process_resident_memory_bytes \d+/m)
  expect((await gateway.get('/metrics')).status).toBe(404)
})

test.skipIf(!hasPostgres)('a gateway tells how many nodes it knows', async () => {
  const first = await startGatewayForTest({ metricsPort: 0 })
  const { databaseUrl } = first.services.config
  const second = await startGatewayForTest({ metricsPort: 0, databaseUrl })
  for (const { metricsUrl } of [first, second]) {
    await vi.waitFor(async () => expect(await read(metricsUrl ?? '')).toContain('switchboard_live_nodes 2\n'))
  }
})

test('a gateway without METRICS_PORT tells nobody', async () => {
  expect((await startGatewayForTest()).metricsUrl).toBeNull()
})

test('there is nothing at any other path, nor for any other method', async () => {
  const url = await serveForTest(new Metrics())
  expect((await fetch(url.replace('/metrics', '/'))).status).toBe(404)
  expect((await fetch(url, { method: 'POST' })).status).toBe(404)
  expect((await fetch(`${url}?from=prometheus`)).status).toBe(200)
})

test('no metric names a tenant, an instance, a number or a token', async () => {
  const gateway = await startGatewayForTest({ metricsPort: 0, rateLimitPerMinute: 1 })
  const shop = await seed(gateway.services.db).account('a-shop-of-one-tenant')
  const sales = await shop.instance('sales-of-that-shop')
  const { db } = gateway.services
  await db.updateTable('instances').set({ number_jid: '5511999999999@s.whatsapp.net', paired_at: new Date() }).execute()
  for (const token of [shop.token, sales.token, 'wrong']) await gateway.get('/api/instance/list', token)
  const text = await read(gateway.metricsUrl ?? '')
  for (const secret of [shop.id, 'one-tenant', sales.id, 'of-that-shop', '5511999999999', shop.token, sales.token]) {
    expect(text).not.toContain(secret)
  }
})

test('a gauge is read when it is asked for, and a counter only rises', async () => {
  const metrics = new Metrics()
  let nodes = 3
  metrics.gauge('live_nodes', 'Nodes that live', () => nodes)
  const count = metrics.counter('refusals_total', 'Refusals')
  const url = await serveForTest(metrics)
  count()
  count(2)
  expect(await read(url)).toMatch(/switchboard_live_nodes 3\n[^]*switchboard_refusals_total 3\n/)
  nodes = 2
  count()
  expect(await read(url)).toMatch(/switchboard_live_nodes 2\n[^]*switchboard_refusals_total 4\n/)
})

test('a metric that cannot be read is an error of that request alone', async () => {
  const metrics = new Metrics()
  let isBroken = true
  metrics.gauge('fragile', 'Breaks', () => {
    if (isBroken) throw new Error('broken')
    return 1
  })
  const url = await serveForTest(metrics)
  expect((await fetch(url)).status).toBe(500)
  isBroken = false
  expect(await read(url)).toContain('switchboard_fragile 1\n')
})

test('a port that is taken is told with advice', async () => {
  const port = Number(new URL(await serveForTest(new Metrics())).port)
  await expect(serveMetrics(new Metrics(), { host: '127.0.0.1', port, logger: silentLogger })).rejects.toThrow(
    'Set METRICS_PORT to a free port',
  )
})
