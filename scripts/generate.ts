// Writes schema/schema.graphql (what is promised on the wire) and src/db/types.ts (what the migrations make).
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { printSchema } from 'graphql'
import { generate, PostgresDialect, RawExpressionNode } from 'kysely-codegen'
import { openDatabase } from '../src/db/database.ts'
import { migrateToLatest } from '../src/db/migrate.ts'
import { STOP_REASONS } from '../src/connection/state.ts'
import { schema } from '../src/graphql/schema.ts'
import { EVENT_NAMES } from '../src/integration/events.ts'
import { createLogger } from '../src/logger.ts'

writeFileSync('schema/schema.graphql', `${printSchema(schema)}\n`)

/** Columns whose check constraint names the values; the generator sees only their base type. */
const oneOf = (words: readonly string[]) => new RawExpressionNode(words.map((word) => `'${word}'`).join(' | '))
const listOf = (words: readonly string[]) => new RawExpressionNode(`(${oneOf(words).expression})[]`)
const generated = ({ expression }: RawExpressionNode) => new RawExpressionNode(`Generated<${expression}>`)

const dataDir = mkdtempSync(join(tmpdir(), 'switchboard-generate-'))
const logger = await createLogger({ logLevel: 'warn', logFormat: 'json' })
const { db, close } = await openDatabase({ databaseUrl: null, dataDir, logger })
try {
  await migrateToLatest(db)
  await generate({
    // kysely-codegen brings the type of its own copy of Kysely.
    db: db as never,
    dialect: new PostgresDialect(),
    outFile: 'src/db/types.ts',
    excludePattern: 'kysely_*',
    overrides: {
      columns: {
        'chatwoots.status': oneOf(['active', 'paused', 'error']),
        'instances.desired_state': generated(oneOf(['connected', 'disconnected'])),
        'instances.stop_reason': oneOf(STOP_REASONS),
        'proxies.protocol': oneOf(['http', 'https', 'socks5']),
        'tokens.kind': oneOf(['account', 'instance']),
        'webhooks.events': generated(listOf(EVENT_NAMES)),
        'websockets.events': generated(listOf(EVENT_NAMES)),
      },
    },
  })
} finally {
  await close()
  rmSync(dataDir, { recursive: true })
}
