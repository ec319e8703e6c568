import type { LogEvent } from 'kysely'
import { createApp } from './app.ts'
import { bootstrap, type FirstContact } from './bootstrap.ts'
import { configRules } from './integration/config.ts'
import type { Config } from './config.ts'
import { MergedTicks } from './connection/merged-ticks.ts'
import { openDatabase } from './db/database.ts'
import { loadEncryptionKey } from './encryption-key.ts'
import type { Logger } from './logger.ts'
import { serveCommands } from './operator/socket.ts'
import { createRateLimiter } from './rate-limit.ts'
import { reportUnreadable } from './sealing/check.ts'
import { Sealer } from './sealing/sealer.ts'
import { listen } from './server.ts'
import type { Services } from './services.ts'
import { LINK_TIMINGS, type LinkTimings } from './session/link.ts'
import { SessionRegistry } from './session/registry.ts'
import { createTokenLookup } from './token/lookup.ts'
import { StreamSlots } from './token/stream-slots.ts'
import { trackTokenUsage } from './token/usage.ts'
import { watchTokens } from './token/watch.ts'

export type Gateway = {
  /** Where it listens, e.g. `http://127.0.0.1:4000`. */
  url: string
  firstContact: FirstContact
  services: Services
  /** Lets running requests finish, then closes everything that was opened. */
  close(): Promise<void>
}

/** What tests look at, and what they shorten. */
type Instruments = { onStatement?: (event: LogEvent) => void; timings?: LinkTimings }

/** Opens the database, migrates, and listens. What was opened is closed again when a later step fails. */
export async function startGateway(
  config: Config,
  logger: Logger,
  { onStatement, timings = LINK_TIMINGS }: Instruments = {},
): Promise<Gateway> {
  const closers: (() => Promise<void>)[] = []
  const close = async () => {
    for (const closeOne of closers.splice(0).toReversed()) await closeOne()
  }
  try {
    const database = await openDatabase({ ...config, logger, onStatement })
    closers.push(database.close)
    const { db } = database
    const applied = await database.migrate()
    if (applied.length > 0) logger.info({ applied }, 'the database was migrated')
    const sealer = new Sealer(loadEncryptionKey(config), config.previousEncryptionKey)
    await reportUnreadable(db, sealer, logger)

    const sessions = await SessionRegistry.create({ ...config, db, sealer, logger, timings })
    closers.push(() => sessions.close())
    const tokenWatch = watchTokens(db, logger)
    if (config.databaseUrl === null) {
      const tools = { db, logger, sealer: () => sealer, live: { sessions, tokenWatch } }
      const commands = await serveCommands(tools, config.dataDir)
      closers.push(commands.close)
    }

    const tokenUsage = trackTokenUsage(db, logger)
    closers.push(tokenUsage.close)

    const services: Services = {
      config,
      db,
      sessions,
      connectionTicks: new MergedTicks(sessions.connectionTicks),
      limiter: createRateLimiter(config.rateLimitPerMinute),
      logger,
      sealer,
      lookUpToken: createTokenLookup(db),
      tokenUsage,
      tokenWatch,
      streamSlots: new StreamSlots(),
      rules: configRules(config.allowPrivateAddresses),
    }
    const server = await listen(createApp(services), config)
    closers.push(async () => {
      if (await server.close()) logger.warn('requests that were still running were cut off')
    })
    // Only now: a start that fails must not have made a token that nobody was shown.
    const firstContact = await bootstrap(db, config)
    const restored = await sessions.restore()
    logger.info({ url: server.url, restored }, 'listening')
    return { url: server.url, firstContact, services, close }
  } catch (error) {
    await close()
    throw error
  }
}
