import { createServer } from 'node:http'
import type { Counter, Gauge, Registry } from 'prom-client'
import { bind } from './http/bind.ts'
import type { Logger } from './logger.ts'
import type { Metric, Metrics } from './metrics.ts'

const REQUEST_TIMEOUT_MS = 10_000

/**
 * Serves metrics for Prometheus on a port of their own, which needs no token and is not for the public.
 * The package is loaded here, so that a node without METRICS_PORT does not pay for it.
 * @throws with advice when the port cannot be had
 */
export async function serveMetrics(
  metrics: Metrics,
  { host, port, logger }: { host: string; port: number; logger: Logger },
): Promise<{ url: string; close(): Promise<void> }> {
  const { default: prometheus } = await import('prom-client')
  const registry = new prometheus.Registry()
  prometheus.collectDefaultMetrics({ register: registry })
  for (const metric of metrics.all) register(prometheus, registry, metric)

  const server = createServer({ requestTimeout: REQUEST_TIMEOUT_MS }, (request, response) => {
    const isAsked = request.url?.split('?')[0] === '/metrics' && (request.method === 'GET' || request.method === 'HEAD')
    if (!isAsked) return void response.writeHead(404).end('Not found. Metrics are at GET /metrics\n')
    registry.metrics().then(
      (text) => response.writeHead(200, { 'Content-Type': registry.contentType }).end(text),
      (error: unknown) => {
        logger.error({ err: error }, 'metrics could not be read')
        response.writeHead(500).end('Metrics could not be read; the cause is in the log\n')
      },
    )
  })
  const url = await bind(server, { host, port, variable: 'METRICS_PORT' })
  return {
    url: `${url}/metrics`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}

type Prometheus = { Counter: typeof Counter; Gauge: typeof Gauge }

function register(prometheus: Prometheus, registry: Registry, { kind, name, help, label, read }: Metric): void {
  const common = { name, help, registers: [registry] }
  if (kind === 'counter') {
    const counter = new prometheus.Counter({
      ...common,
      collect: () => {
        counter.reset()
        counter.inc(read() as number)
      },
    })
    return
  }
  const gauge: Gauge = new prometheus.Gauge({
    ...common,
    labelNames: label === null ? [] : [label],
    collect: () => {
      const value = read()
      if (typeof value === 'number') return gauge.set(value)
      gauge.reset()
      for (const [word, count] of Object.entries(value)) gauge.set({ [label ?? '']: word }, count)
    },
  })
}
