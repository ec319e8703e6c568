import DataLoader from 'dataloader'
import { createAccountLoaders } from './account/loaders.ts'
import { createInstanceLoaders } from './instance/loaders.ts'
import { Outstanding } from './outstanding.ts'
import type { BlockName, Blocks } from './read-model/blocks.ts'
import { readBlocks } from './read-model/read-blocks.ts'
import type { Services } from './services.ts'
import { tenantOf, type Viewer } from './viewer/viewer.ts'

/** The one door to rows, for one viewer and one request: whatever is loaded twice is read once, from memory or not. */
export function createLoaders({ db, readModel }: Pick<Services, 'db' | 'readModel'>, viewer: Viewer) {
  let isCurrent = readModel.isCurrent()
  /** Asked for with each reading: an account that was dropped meanwhile hears of no change. */
  const remembered = () => (isCurrent ? readModel.account(tenantOf(viewer)) : null)
  const instances = new Outstanding()
  /** By instance id. */
  const block = <Name extends BlockName>(name: Name) =>
    new DataLoader<string, Blocks[Name]>((ids) => readBlocks(db, remembered(), name, ids), {
      batchScheduleFn: instances.afterReadings,
    })
  const loaders = {
    ...createInstanceLoaders(db, viewer, { ...instances, remembered }),
    ...createAccountLoaders(db, remembered),
    profile: block('profile'),
    webhooks: block('webhooks'),
    websocket: block('websocket'),
    chatwoot: block('chatwoot'),
    proxy: block('proxy'),
    settings: block('settings'),
    s3: block('s3'),
  }
  return {
    ...loaders,
    /** After a write, and for each event of a stream: what was loaded before it may be loaded again. */
    forget: () => {
      isCurrent = readModel.isCurrent()
      for (const loader of Object.values(loaders)) loader.clearAll()
    },
  }
}

export type Loaders = ReturnType<typeof createLoaders>
