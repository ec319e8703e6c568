import type { Metrics } from './metrics.ts'
import { LIMITER_MODES, type RateLimiter } from './rate-limit.ts'
import type { Cluster } from './cluster/cluster.ts'
import type { SessionRegistry } from './session/registry.ts'

/** Registers what is told of the sessions of this node, and of its place among the nodes. */
export function tellOfSessions(metrics: Metrics, sessions: SessionRegistry): void {
  metrics.gaugeBy('state', 'sessions', 'Sessions of this node, by the state that they show', () => {
    // One word only in the documented REST API.
    const { loggedout, ...counts } = sessions.countByState()
    return { ...counts, logged_out: loggedout }
  })
  metrics.gauge('owned_sessions', 'Sessions of the instances that this node owns', () => sessions.live.length)
  metrics.gauge(
    'live_nodes',
    'Nodes whose leases hold, as this one knows',
    () => 1 + (sessions.peers?.list().length ?? 0),
  )
  metrics.total('handovers_total', 'Sessions that were handed over to another node', () => sessions.counts.handedOver)
  metrics.total(
    'refused_writes_total',
    'Writes of sessions that the database refused because another node owns them',
    () => sessions.counts.refusedWrites,
  )
  metrics.total(
    'failed_renewals_total',
    "Renewals of this node's lease that failed",
    () => sessions.counts.failedRenewals,
  )
}

/** Registers who counts requests. */
export function tellOfLimiter(metrics: Metrics, limiter: RateLimiter): void {
  metrics.gaugeBy(
    'mode',
    'rate_limit_mode',
    '1 for who counts requests: this node alone, Redis for all (shared), or this node within its share while Redis is away',
    () => Object.fromEntries(LIMITER_MODES.map((mode) => [mode, Number(mode === limiter.mode())])),
  )
}

/** Registers whether news of other nodes come by the bus. */
export function tellOfBus(metrics: Metrics, cluster: Cluster): void {
  metrics.gauge('bus_up', '1 while the bus between the nodes is up', () => Number(cluster.isBusUp))
}
