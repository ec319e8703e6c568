import type { Kysely, LogEvent } from 'kysely'
import { createApp } from './app.ts'
import { bootstrap, type FirstContact } from './bootstrap.ts'
import { refuseOtherKeys } from './cluster/nodes.ts'
import { configRules } from './integration/config.ts'
import type { Cluster } from './cluster/cluster.ts'
import { ownersIn } from './cluster/owners.ts'
import { logPeers, logTaken } from './cluster/peer-log.ts'
import type { Config } from './config.ts'
import { ConnectionLogs } from './connection/logs.ts'
import { MergedTicks } from './connection/merged-ticks.ts'
import { openDatabase } from './db/database.ts'
import type { DB } from './db/types.ts'
import { loadEncryptionKey } from './encryption-key.ts'
import { listInstances } from './instance/queries.ts'
import type { Logger } from './logger.ts'
import { Metrics } from './metrics.ts'
import { serveMetrics } from './metrics-server.ts'
import { tellOfBus, tellOfLimiter, tellOfSessions } from './node-metrics.ts'
import type { CommandTools } from './operator/commands.ts'
import { serveCommands } from './operator/socket.ts'
import { createRateLimiter } from './rate-limit.ts'
import { ReadModel } from './read-model/read-model.ts'
import { reportUnreadable } from './sealing/check.ts'
import { Sealer } from './sealing/sealer.ts'
import { listen } from './server.ts'
import type { Services } from './services.ts'
import type { LinkTimings } from './session/link.ts'
import { SessionRegistry } from './session/registry.ts'
import { openSharedPlaces } from './shared-places.ts'
import { StreamSlots } from './token/stream-slots.ts'
import { trackTokenUsage } from './token/usage.ts'
import { watchTokens } from './token/watch.ts'

export type Gateway = {
  /** Where it listens, e.g. `http://127.0.0.1:4000`. */
  url: string
  /** Where it tells its metrics; null: nowhere. */
  metricsUrl: string | null
  /** Which one it is among many, and where the others reach it; null without REDIS_URL. */
  node: { id: string; address: string } | null
  firstContact: FirstContact
  services: Services
  /** Lets running requests finish, then closes everything that was opened. */
  close(): Promise<void>
}

/** What tests look at, and what they shorten. */
export type Instruments = { onStatement?: (event: LogEvent) => void; timings?: LinkTimings; calmMs?: number }

type Closer = () => Promise<void>

/** Opens the database, migrates, and listens. What was opened is closed again when a later step fails. */
export async function startGateway(
  config: Config,
  logger: Logger,
  { onStatement, timings, calmMs }: Instruments = {},
): Promise<Gateway> {
  // Closed in this order; what depends on nothing else is closed at once, since a stop has ten seconds for everything.
  const front: Closer[] = []
  const middle: Closer[] = []
  const back: Closer[] = []
  const close = async () => {
    for (const closers of [front, middle, back]) await Promise.all(closers.splice(0).map((closeOne) => closeOne()))
  }
  const metrics = new Metrics()
  try {
    const database = await openDatabase({ ...config, logger, onStatement })
    back.push(database.close)
    const { db } = database
    const applied = await database.migrate()
    if (applied.length > 0) logger.info({ applied }, 'the database was migrated')
    const sealer = new Sealer(loadEncryptionKey(config), config.previousEncryptionKey)
    await reportUnreadable(db, sealer, logger)

    const changes = config.readCacheMb > 0 ? await database.watchChanges() : null
    if (changes) middle.push(() => changes.close())
    const readModel = new ReadModel(db, changes, config.readCacheMb * 2 ** 20)

    const cluster = config.redisUrl === null ? null : await openCluster(config, config.redisUrl, logger)
    if (cluster) {
      back.push(() => cluster.close())
      await refuseOtherKeys(db, cluster.keyChecks)
    }
    const sessions = new SessionRegistry({
      ...config,
      db: database.direct,
      urgent: database.urgent,
      sealer,
      logger,
      timings,
      calmMs,
      remote: cluster,
      nodeId: cluster?.nodeId ?? null,
      keyCheck: cluster?.keyChecks[0] ?? null,
      address: cluster?.address ?? null,
    })
    if (sessions.peers) logPeers(sessions.peers, { isAlone: cluster === null, logger })
    front.push(() => sessions.leave())
    middle.push(() => sessions.close())
    const tokenWatch = watchTokens(db, logger)
    const tools = {
      db,
      logger,
      sealer: () => sealer,
      live: { sessions, tokenWatch },
      openSessions: () => Promise.resolve(sessions),
    }
    const commands = await takeCommands(tools, config)
    if (commands) middle.push(commands.close)

    const tokenUsage = trackTokenUsage(db, logger)
    middle.push(tokenUsage.close)

    const shared =
      config.redisUrl &&
      (await openSharedPlaces(config.redisUrl, { liveNodes: () => 1 + (sessions.peers?.list().length ?? 0), logger }))
    if (shared) back.push(async () => shared.close())
    const limiter = createRateLimiter(config.rateLimitPerMinute, {
      shared: shared || null,
      onShare: metrics.counter('rate_limit_share_total', 'Requests that were counted by this node within its share'),
    })
    tellOfSessions(metrics, sessions)
    tellOfLimiter(metrics, limiter)
    if (cluster) tellOfBus(metrics, cluster)

    const connectionTicks = new MergedTicks(sessions.connectionTicks)
    const connectionLogs = new ConnectionLogs(connectionTicks, (instance) => sessions.statusOf(instance))
    if (cluster) join(cluster, sessions, db, connectionLogs, logTaken(logger))
    const services: Services = {
      config,
      db,
      readModel,
      sessions,
      connectionTicks,
      connectionLogs,
      limiter,
      logger,
      sealer,
      lookUpToken: (token) => readModel.findToken(token),
      tokenUsage,
      tokenWatch,
      streamSlots: new StreamSlots(),
      rules: configRules(config.allowPrivateAddresses),
    }
    let metricsUrl: string | null = null
    if (config.metricsPort !== null) {
      const serving = await serveMetrics(metrics, { host: config.host, port: config.metricsPort, logger })
      back.push(serving.close)
      metricsUrl = serving.url
    }
    const server = await listen(createApp(services), config)
    front.push(async () => {
      if (await server.close()) logger.warn('requests that were still running were cut off')
    })
    // Only now that both ports are had: a start that fails must not have made a token that nobody was shown, nor be a node.
    const firstContact = await bootstrap(db, config)
    if (!(await sessions.start({ restores: true }))) {
      logger.info('another process runs the sessions; this one takes over when that one is gone')
    }
    const node = cluster && { id: cluster.nodeId, address: cluster.address }
    logger.info({ url: server.url, metricsUrl, node }, 'listening')
    return { url: server.url, metricsUrl, node, firstContact, services, close }
  } catch (error) {
    await close()
    throw error
  }
}

/** Loaded here, so that a node without REDIS_URL does not pay for it. */
async function openCluster(config: Config, redisUrl: string, logger: Logger): Promise<Cluster> {
  const { Cluster: Loaded } = await import('./cluster/cluster.ts')
  return Loaded.open({ ...config, redisUrl, encryptionKey: loadEncryptionKey(config), logger })
}

function join(
  cluster: Cluster,
  sessions: SessionRegistry,
  db: Kysely<DB>,
  logs: ConnectionLogs,
  noteTaken: (sessions: number) => void,
): void {
  const { peers } = sessions
  if (!peers) return
  cluster.join({
    self: () => sessions.node,
    peers,
    find: (instanceId) => sessions.toTell(instanceId),
    list: (accountIds) => sessions.listToTell(accountIds),
    runs: (instanceId) => sessions.runs(instanceId),
    tellAgain: (instanceId) => sessions.tellAgain(instanceId),
    perform: (instance, order) => sessions.obey(instance, order),
    take: (instanceIds) => {
      noteTaken(instanceIds.length)
      return sessions.take()
    },
    readOwners: (accountIds) => ownersIn(db, accountIds),
    findMissed: (accountId) => logs.compare(accountId, () => listInstances(db, { kind: 'account', accountId })),
    connectionTicks: sessions.connectionTicks,
    pairingSteps: sessions.pairingSteps,
    onDelayChange: () => logs.repeat(),
  })
}

/** Beside PostgreSQL commands can do without the gateway, so that a folder which cannot be written is no reason to end. */
async function takeCommands(tools: CommandTools, config: Config): ReturnType<typeof serveCommands> {
  try {
    const commands = await serveCommands(tools, config)
    if (!commands) tools.logger.info('another gateway with this DATA_DIR takes the operator commands')
    return commands
  } catch (error) {
    if (config.databaseUrl === null) throw error
    tools.logger.warn({ err: error }, 'operator commands cannot be taken in DATA_DIR; they act on the database alone')
    return null
  }
}
