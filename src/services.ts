import type { Kysely } from 'kysely'
import type { Config } from './config.ts'
import type { DB } from './db/types.ts'
import type { ConfigRules } from './integration/config.ts'
import type { Logger } from './logger.ts'
import type { RateLimiter } from './rate-limit.ts'
import type { ReadModel } from './read-model/read-model.ts'
import type { Sealer } from './sealing/sealer.ts'
import type { SessionRegistry } from './session/registry.ts'
import type { TokenUsage } from './token/usage.ts'

/** What a request may use. */
export type Services = Readonly<{
  config: Config
  db: Kysely<DB>
  /** What is read from memory; writes go to `db`. */
  readModel: ReadModel
  sessions: SessionRegistry
  limiter: RateLimiter
  logger: Logger
  sealer: Sealer
  tokenUsage: TokenUsage
  /** What may be stored for each integration. */
  rules: ConfigRules
}>
