import type { Kysely } from 'kysely'
import { createAccountLoaders } from './account/loaders.ts'
import type { DB } from './db/types.ts'
import { createInstanceLoaders } from './instance/loaders.ts'
import { createIntegrationLoaders } from './integration/loaders.ts'
import { Outstanding } from './outstanding.ts'
import { createProfileLoaders } from './profile/loaders.ts'
import type { Viewer } from './viewer/viewer.ts'

/** The one door to rows, for one viewer and one request: whatever is loaded twice is read once. */
export function createLoaders(db: Kysely<DB>, viewer: Viewer) {
  const instances = new Outstanding()
  const whenInstancesAreRead = { batchScheduleFn: instances.afterReadings }
  const loaders = {
    ...createInstanceLoaders(db, viewer, instances),
    ...createProfileLoaders(db, whenInstancesAreRead),
    ...createIntegrationLoaders(db, whenInstancesAreRead),
    ...createAccountLoaders(db),
  }
  return {
    ...loaders,
    /** After a write: what was loaded before it may be loaded again. */
    forget: () => {
      for (const loader of Object.values(loaders)) loader.clearAll()
    },
  }
}

export type Loaders = ReturnType<typeof createLoaders>
