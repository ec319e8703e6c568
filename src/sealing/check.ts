import { type Kysely, sql } from 'kysely'
import type { DB } from '../db/types.ts'
import type { Logger } from '../logger.ts'
import { SEALED_COLUMNS } from './columns.ts'
import type { Sealer } from './sealer.ts'

/** Says at the start which secrets the configured keys cannot read, rather than when each is first needed. */
export async function reportUnreadable(db: Kysely<DB>, sealer: Sealer, logger: Logger): Promise<void> {
  for (const { table, column, isLarge } of SEALED_COLUMNS) {
    if (isLarge) continue
    const { rows } = await sql<{ count: number }>`
      select count(*)::int as count from ${sql.table(table)}
      where ${sql.ref(column)} is not null and not (substring(${sql.ref(column)} from 1 for 5) = any(${sealer.headers}))`.execute(
      db,
    )
    const secrets = rows[0]?.count ?? 0
    if (secrets > 0) {
      logger.error(
        { table, column, secrets },
        'secrets were sealed with a key that is not configured: set ENCRYPTION_KEY, or ENCRYPTION_KEY_PREVIOUS, to it',
      )
    }
  }
}
