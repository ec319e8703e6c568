import type { Kysely } from 'kysely'
import type { Config } from './config.ts'
import type { ConnectionLogs } from './connection/logs.ts'
import type { MergedTicks } from './connection/merged-ticks.ts'
import type { DB } from './db/types.ts'
import type { ConfigRules } from './integration/config.ts'
import type { Logger } from './logger.ts'
import type { RateLimiter } from './rate-limit.ts'
import type { ReadModel } from './read-model/read-model.ts'
import type { Sealer } from './sealing/sealer.ts'
import type { SessionRegistry } from './session/registry.ts'
import type { TokenLookup } from './token/lookup.ts'
import type { StreamSlots } from './token/stream-slots.ts'
import type { TokenUsage } from './token/usage.ts'
import type { TokenWatch } from './token/watch.ts'

/** What a request may use. */
export type Services = Readonly<{
  config: Config
  db: Kysely<DB>
  /** What is read from memory; writes go to `db`. */
  readModel: ReadModel
  sessions: SessionRegistry
  /** The registry's ticks as streams are told of them. */
  connectionTicks: MergedTicks
  /** What followers of connections are told. */
  connectionLogs: ConnectionLogs
  limiter: RateLimiter
  logger: Logger
  sealer: Sealer
  lookUpToken: TokenLookup
  tokenUsage: TokenUsage
  tokenWatch: TokenWatch
  streamSlots: StreamSlots
  /** What may be stored for each integration. */
  rules: ConfigRules
}>
