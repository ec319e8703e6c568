import { type Kysely, Migrator } from 'kysely'
import { migrations } from '../../migrations/index.ts'
import type { DB } from './types.ts'

/**
 * Brings the schema up to date and returns the names of the migrations that this call applied.
 * Safe to run from several processes at once: Kysely takes an advisory lock.
 * @throws the cause when a migration fails; the schema is then as it was before
 */
export async function migrateToLatest(db: Kysely<DB>): Promise<string[]> {
  const migrator = new Migrator({ db, provider: { getMigrations: async () => migrations } })
  const { error, results } = await migrator.migrateToLatest()
  if (error) throw error
  return (results ?? []).map((result) => result.migrationName)
}
