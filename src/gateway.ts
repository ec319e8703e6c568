import type { LogEvent } from 'kysely'
import { createApp } from './app.ts'
import { bootstrap, type FirstContact } from './bootstrap.ts'
import { configRules } from './integration/config.ts'
import type { Config } from './config.ts'
import { openDatabase } from './db/database.ts'
import { loadEncryptionKey } from './encryption-key.ts'
import type { Logger } from './logger.ts'
import { serveCommands } from './operator/socket.ts'
import { createRateLimiter } from './rate-limit.ts'
import { ReadModel } from './read-model/read-model.ts'
import { reportUnreadable } from './sealing/check.ts'
import { Sealer } from './sealing/sealer.ts'
import { listen } from './server.ts'
import type { Services } from './services.ts'
import { createSessionRegistry } from './session/registry.ts'
import { trackTokenUsage } from './token/usage.ts'

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
    const applied = await database.migrate()
    if (applied.length > 0) logger.info({ applied }, 'the database was migrated')
    const sealer = new Sealer(loadEncryptionKey(config), config.previousEncryptionKey)
    await reportUnreadable(db, sealer, logger)

    if (config.databaseUrl === null) {
      const commands = await serveCommands({ db, logger, sealer: () => sealer }, config.dataDir)
      closers.push(commands.close)
    }

    const changes = config.readCacheMb > 0 ? await database.watchChanges() : null
    if (changes) closers.push(() => changes.close())

    const tokenUsage = trackTokenUsage(db, logger)
    closers.push(tokenUsage.close)

    const services: Services = {
      config,
      db,
      readModel: new ReadModel(db, changes, config.readCacheMb * 2 ** 20),
      sessions: createSessionRegistry(),
      limiter: createRateLimiter(config.rateLimitPerMinute),
      logger,
      sealer,
      tokenUsage,
      rules: configRules(config.allowPrivateAddresses),
    }
    const server = await listen(createApp(services), config)
    closers.push(async () => {
      if (await server.close()) logger.warn('requests that were still running were cut off')
    })
    // Only now: a start that fails must not have made a token that nobody was shown.
    const firstContact = await bootstrap(db, config)
    logger.info({ url: server.url }, 'listening')
    return { url: server.url, firstContact, services, close }
  } catch (error) {
    await close()
    throw error
  }
}
