import { rmSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { createClient } from 'graphql-sse'
import { onTestFailed, onTestFinished } from 'vitest'
import { buildAudited, type Fence } from './audited-build.ts'
import { type Audit, ownersIn, readAudit, startAudit } from './audit.ts'
import { type BreakableProxy, startBreakableProxy } from './breakable-proxy.ts'
import { type Exit, type GatewayProcess, startGatewayProcess } from './child.ts'
import { type FakeProcess, startFakeProcessForTest } from './fake-process.ts'
import type { SocketLife } from './fake-whatsapp/socket-log.ts'
import { ask, type Fleet, inDatabase, seedFleet } from './fleet.ts'
import { disagreementsIn, type History, type Observation, type Rest, wrongsIn } from './history-checker.ts'
import { freePort } from './free-port.ts'
import { monotonicMs } from './monotonic.ts'
import { hasOwnPostgres, type OwnPostgres, startOwnPostgresForTest } from './own-postgres.ts'
import { hasOwnRedis, type OwnRedis, startOwnRedisForTest } from './own-redis.ts'
import { createTempDir, TEST_KEY } from './testkit.ts'
import { until } from './whatsapp.ts'

/** Whether this machine has what a cluster stands on. */
export const canCluster = hasOwnPostgres && hasOwnRedis

export const NODES = ['a', 'b', 'c'] as const
export type NodeLetter = (typeof NODES)[number]

/** How long a cluster may take to come to rest. */
const PATIENCE_MS = 45_000

export type ClusterOptions = {
  /** Sessions that are paired already. */
  sessions?: number
  /** The nodes that are there from the beginning. */
  first?: readonly NodeLetter[]
  /** How far the clock of a node is off. */
  skewMs?: Partial<Record<NodeLetter, number>>
  /** Another fence than the gateway's. */
  fence?: Fence
  environment?: Record<string, string>
}

/** `at` is on the monotonic clock. */
export type TimedObservation = Observation & { at: number }

/** A gateway of a cluster, with the roads to its database and its bus, and somebody who listens to it. */
export type ClusterNode = {
  letter: NodeLetter
  /** Its name in the history: the letter and how often it was started. */
  readonly name: string
  url: string
  gateway(): GatewayProcess
  /** What it has printed since its last start. */
  printed(): string
  toPostgres: BreakableProxy
  toRedis: BreakableProxy
  start(): Promise<void>
  /** Asks it to end, and waits until it has. */
  stop(): Promise<Exit & { ms: number }>
  kill(): Promise<void>
  /** Stops the process where it is, as a suspended machine does. */
  pause(): void
  resume(): void
  /** What its subscriber was told last, by instance. */
  told(): Map<string, TimedObservation>
  /** What it answers to a query, by instance. */
  states(): Promise<Map<string, string>>
}

export type Cluster = Fleet & {
  databaseUrl: string
  postgres: OwnPostgres
  redis: OwnRedis
  whatsapp: FakeProcess
  nodes: Record<NodeLetter, ClusterNode>
  all: readonly ClusterNode[]
  /** All that the subscribers were told so far. */
  observations: readonly TimedObservation[]
  /** The name of the node that owns each instance; null: nobody. */
  owners(): Promise<Map<string, string | null>>
  /** Instances that a node owns, in no order. */
  ownedBy(node: ClusterNode): Promise<string[]>
  /** Waits until a node owns nothing any more. */
  takenFrom(node: ClusterNode, patienceMs: number): Promise<void>
  sockets(): Promise<SocketLife[]>
  /** The numbers of the devices that are connected now. */
  live(): Promise<string[]>
  /** Sessions that some node, or a subscriber of it, calls connected while WhatsApp has no socket of them. */
  falselyConnected(options?: { without?: readonly ClusterNode[] }): Promise<string[]>
  /** Waits until everybody agrees on everything, and fails when that takes too long. */
  comesToRest(options?: { patienceMs?: number; without?: readonly ClusterNode[] }): Promise<void>
  /** What is wrong with all that has happened so far. */
  wrongs(loggedOut?: ReadonlySet<string>): Promise<string[]>
}

/** Three gateways over a PostgreSQL and a Redis of their own; all of it is gone after the test. */
export async function startClusterForTest({
  sessions = 18,
  first = NODES,
  skewMs = {},
  fence,
  environment = {},
}: ClusterOptions = {}): Promise<Cluster> {
  const [postgres, redis, whatsapp] = await Promise.all([
    startOwnPostgresForTest(),
    startOwnRedisForTest(),
    startFakeProcessForTest('--accept-unknown'),
  ])
  const databaseUrl = await postgres.createDatabase('switchboard')
  const fleet = await seedFleet(databaseUrl, sessions)
  await want('disconnected', databaseUrl)
  await startAudit(databaseUrl)
  const main = buildAudited(fence)

  const pauses: { node: string; from: number; until: number }[] = []
  const observations: TimedObservation[] = []

  const enter = async (letter: NodeLetter): Promise<ClusterNode> => {
    const DATA_DIR = createTempDir()
    onTestFinished(() => rmSync(DATA_DIR, { recursive: true, force: true }))
    const toPostgres = await startBreakableProxy(databaseUrl)
    const toRedis = await startBreakableProxy(redis.url)
    const port = await freePort()
    const url = `http://127.0.0.1:${port}`
    let starts = 0
    let gateway: GatewayProcess | null = null
    let pausedAt: number | null = null
    const running = () => {
      if (!gateway) throw new Error(`${letter} is not running`)
      return gateway
    }
    const skew = skewMs[letter]
    const observer = observe(url, fleet.token, `on ${letter}`, observations)

    const node: ClusterNode = {
      letter,
      get name() {
        return `${letter}${starts}`
      },
      url,
      gateway: running,
      printed: () => (gateway ? gateway.stdout() + gateway.stderr() : 'not started'),
      toPostgres,
      toRedis,
      start: async () => {
        starts++
        gateway = await startGatewayProcess(
          {
            DATA_DIR,
            PORT: String(port),
            // The name by which the audit knows the writer, and WhatsApp its client.
            DATABASE_URL: `${toPostgres.url}?application_name=${node.name}`,
            WHATSAPP_URL: `${whatsapp.url}?node=${node.name}`,
            WHATSAPP_INSECURE: 'true',
            REDIS_URL: toRedis.url,
            NODE_ADDRESS: '127.0.0.1',
            ENCRYPTION_KEY: TEST_KEY,
            RATE_LIMIT_PER_MINUTE: '1000000',
            LOG_LEVEL: 'info',
            ...(skew !== undefined && {
              NODE_OPTIONS: `--import=${new URL('skewed-clock.js', import.meta.url).href}`,
              CLOCK_SKEW_MS: String(skew),
            }),
            ...environment,
          },
          main,
        )
      },
      stop: () => running().stop(),
      kill: () => running().kill(),
      pause: () => {
        running().signal('SIGSTOP')
        pausedAt = monotonicMs()
      },
      resume: () => {
        running().signal('SIGCONT')
        if (pausedAt !== null) pauses.push({ node: node.name, from: pausedAt, until: monotonicMs() })
        pausedAt = null
      },
      told: () => observer.last,
      states: async () => {
        const { data, errors } = await ask(url, fleet.token, '{ instances { id connection { state } } }')
        if (errors) throw new Error(JSON.stringify(errors))
        return new Map(
          data.instances.map(({ id, connection }: { id: string; connection: { state: string } }) => [
            id,
            connection.state,
          ]),
        )
      },
    }
    onTestFinished(async () => {
      await observer.stop()
      await gateway?.kill()
      await toPostgres.close()
      await toRedis.close()
    })
    return node
  }

  const nodes = { a: await enter('a'), b: await enter('b'), c: await enter('c') }
  const all = Object.values(nodes)
  onTestFailed(() => {
    for (const { name, printed } of all) process.stderr.write(`${name}: ${printed()}\n`)
  })
  // One after the other, so that it is known who is the oldest, who would take all sessions if there were any yet.
  for (const letter of first) await nodes[letter].start()
  await want('connected', databaseUrl)

  const owners = () => ownersIn(databaseUrl)
  const sockets = () => whatsapp.call<SocketLife[]>('sockets')
  // One that was thrown out is of no use any more, also while a process that is stopped cannot close it.
  const live = async () =>
    (await sockets())
      .filter(({ closedAt, replacedAt }) => closedAt === null && replacedAt === null)
      .map(({ number }) => number)

  const rest = async (present: readonly ClusterNode[]): Promise<Rest> => {
    const owned = await owners()
    const answers = await Promise.all(
      present.map(async (node) => ({ node, states: await node.states().catch(() => new Map<string, string>()) })),
    )
    return {
      live: await live(),
      instances: fleet.ids.map((instanceId, index) => ({
        instanceId,
        number: fleet.numbers[index] ?? '',
        owner: owned.get(instanceId) ?? null,
        isWanted: true,
        told: Object.fromEntries(
          answers.flatMap(({ node, states }) => [
            [`the subscriber on ${node.name}`, node.told().get(instanceId)?.state],
            [node.name, states.get(instanceId)],
          ]),
        ),
      })),
    }
  }

  const ownedBy = async ({ name }: ClusterNode) =>
    [...(await owners())].filter(([, owner]) => owner === name).map(([id]) => id)

  return {
    ...fleet,
    databaseUrl,
    postgres,
    redis,
    whatsapp,
    nodes,
    all,
    observations,
    owners,
    ownedBy,
    takenFrom: async (node, patienceMs) => {
      await until(
        () => ownedBy(node),
        (owned) => owned.length === 0,
        patienceMs,
      )
    },
    sockets,
    live,
    falselyConnected: async ({ without = [] } = {}) => {
      const { live, instances } = await rest(all.filter((node) => !without.includes(node)))
      const present = new Set(live)
      return instances.flatMap(({ number, told }) =>
        present.has(number) ? [] : Object.keys(told).filter((who) => told[who] === 'CONNECTED'),
      )
    },
    comesToRest: async ({ patienceMs = PATIENCE_MS, without = [] } = {}) => {
      const present = all.filter((node) => !without.includes(node))
      await until(
        async () => {
          const wrongs = disagreementsIn(await rest(present))
          if (wrongs.length > 0) await sleep(200)
          return wrongs
        },
        (wrongs) => wrongs.length === 0,
        patienceMs,
      )
    },
    wrongs: async (loggedOut = new Set()) => {
      const audit: Audit = await readAudit(databaseUrl)
      const history: History = { ...audit, sockets: await sockets(), pauses, observations, loggedOut }
      return wrongsIn(history)
    },
  }
}

const want = (state: 'connected' | 'disconnected', databaseUrl: string) =>
  inDatabase(databaseUrl, (db) => db.updateTable('instances').set({ desired_state: state }).execute())

const TRY_AGAIN_MS = 200

const WATCH = `subscription {
  connectionChanged { instanceId connection { state sequence } }
}`

/** Listens to a node as long as the test runs, whatever becomes of the node. */
function observe(url: string, token: string, observer: string, observations: TimedObservation[]) {
  const end = new AbortController()
  const last = new Map<string, TimedObservation>()
  const listen = async () => {
    while (!end.signal.aborted) {
      const client = createClient({ url: `${url}/graphql`, headers: { token }, retryAttempts: 0 })
      const stop = () => client.dispose()
      end.signal.addEventListener('abort', stop)
      try {
        for await (const { data } of client.iterate<{ connectionChanged: any }>({ query: WATCH })) {
          if (!data) continue
          const { instanceId, connection } = data.connectionChanged
          const observation = { observer, instanceId, ...connection, at: monotonicMs() }
          observations.push(observation)
          last.set(instanceId, observation)
        }
      } catch {
        // The node is away, and its subscriber comes again.
      }
      // What was told before does not hold any more.
      last.clear()
      end.signal.removeEventListener('abort', stop)
      client.dispose()
      await sleep(TRY_AGAIN_MS, undefined, { signal: end.signal }).catch(() => undefined)
    }
  }
  const listening = listen()
  return {
    last,
    stop: async () => {
      end.abort()
      await listening
    },
  }
}
