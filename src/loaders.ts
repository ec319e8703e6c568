import type { Kysely } from 'kysely'
import { createAccountLoaders } from './account/loaders.ts'
import type { DB } from './db/types.ts'
import { createInstanceLoaders } from './instance/loaders.ts'
import { createIntegrationLoaders } from './integration/loaders.ts'
import { createProfileLoaders } from './profile/loaders.ts'
import type { Viewer } from './viewer/viewer.ts'

/** The one door to rows, for one viewer and one request: whatever is loaded twice is read once. */
export const createLoaders = (db: Kysely<DB>, viewer: Viewer) => ({
  ...createInstanceLoaders(db, viewer),
  ...createProfileLoaders(db),
  ...createIntegrationLoaders(db),
  ...createAccountLoaders(db),
})

export type Loaders = ReturnType<typeof createLoaders>
