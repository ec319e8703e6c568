import { createServer, type Server } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import type { LogEvent } from 'kysely'
import { createApp } from './app.ts'
import { bootstrap, type FirstContact } from './bootstrap.ts'
import type { Config } from './config.ts'
import { openDatabase } from './db/database.ts'
import { migrateToLatest } from './db/migrate.ts'
import { loadEncryptionKey } from './encryption-key.ts'
import type { Logger } from './logger.ts'
import { serveCommands } from './operator/socket.ts'
import { Sealer } from './sealing/sealer.ts'
import { createRateLimiter } from './rate-limit.ts'
import type { Services } from './services.ts'
import { trackTokenUsage } from './token/usage.ts'
import { createSessionRegistry } from './session/registry.ts'

/** Big enough for the longest filter to reach the route and be refused there. */
const MAX_HEADER_BYTES = 32 * 1024
const REQUEST_TIMEOUT_MS = 60_000
/** How long running requests may take to finish when the gateway stops. */
const DRAIN_MS = 7_000

export type Gateway = {
  /** Where it listens, e.g. `http://127.0.0.1:4000`. */
  url: string
  firstContact: FirstContact
  services: Services
  /** Lets running requests finish, then closes everything that was opened. */
  close(): Promise<void>
}

type Observers = { onStatement?: (event: LogEvent) => void }

/** Opens the database, migrates, and listens. What was opened is closed again when a later step fails. */
export async function startGateway(config: Config, logger: Logger, { onStatement }: Observers = {}): Promise<Gateway> {
  const closers: (() => Promise<void>)[] = []
  const close = async () => {
    for (const closeOne of closers.splice(0).toReversed()) await closeOne()
  }
  try {
    const database = await openDatabase({ ...config, logger, onStatement })
    closers.push(database.close)
    const { db } = database
    const sealer = new Sealer(loadEncryptionKey(config), config.previousEncryptionKey)
    const applied = await migrateToLatest(db)
    if (applied.length > 0) logger.info({ applied }, 'the database was migrated')
    const firstContact = await bootstrap(db, config)

    if (config.databaseUrl === null) {
      const commands = await serveCommands({ db, logger, sealer: () => sealer }, config.dataDir)
      closers.push(commands.close)
    }

    const tokenUsage = trackTokenUsage(db, logger)
    closers.push(tokenUsage.close)

    const limiter = createRateLimiter(config.rateLimitPerMinute)
    const services: Services = { config, db, sessions: createSessionRegistry(), limiter, logger, sealer, tokenUsage }
    const app = createApp(services)
    const server = createServer({ maxHeaderSize: MAX_HEADER_BYTES, requestTimeout: REQUEST_TIMEOUT_MS }, app.handle)
    server.on('clientError', app.handleClientError)
    const silent = trackSilentConnections(server)
    const url = await listen(server, config)
    closers.push(() => {
      app.startStopping()
      return drain(server, silent, logger)
    })
    logger.info({ url }, 'listening')
    return { url, firstContact, services, close }
  } catch (error) {
    await close()
    throw error
  }
}

function listen(server: Server, { host, port }: Config): Promise<string> {
  return new Promise((resolve, reject) => {
    server.once('error', reject).listen(port, host, () => {
      server.off('error', reject)
      const { address, family, port: actualPort } = server.address() as AddressInfo
      resolve(`http://${family === 'IPv6' ? `[${address}]` : address}:${actualPort}`)
    })
  })
}

/** Connections on which nothing was asked yet: Node counts them as busy, and would wait for them. */
function trackSilentConnections(server: Server): ReadonlySet<Socket> {
  const silent = new Set<Socket>()
  server.on('connection', (socket) => {
    silent.add(socket)
    socket.once('close', () => silent.delete(socket))
  })
  server.on('request', ({ socket }) => silent.delete(socket))
  return silent
}

/** Stops listening and waits for running requests; those that take too long are cut off. */
async function drain(server: Server, silent: ReadonlySet<Socket>, logger: Logger): Promise<void> {
  const closed = new Promise<void>((resolve) => server.close(() => resolve()))
  for (const socket of silent) socket.destroy()
  const cutOff = setTimeout(() => {
    logger.warn('requests that were still running were cut off')
    server.closeAllConnections()
  }, DRAIN_MS)
  await closed
  clearTimeout(cutOff)
}
