import DataLoader from 'dataloader'
import { createAccountLoader, createInstanceCountLoader } from './account/loaders.ts'
import { createInstanceByIdLoader, createInstancePageLoader, createInstancesLoader } from './instance/loaders.ts'
import type { BlockName, Blocks } from './read-model/blocks.ts'
import { readBlocks } from './read-model/read-blocks.ts'
import { Rows } from './rows.ts'
import type { Services } from './services.ts'
import type { Viewer } from './viewer/viewer.ts'

const CREATE = {
  instances: createInstancesLoader,
  instancePage: createInstancePageLoader,
  instanceById: createInstanceByIdLoader,
  account: createAccountLoader,
  instanceCount: createInstanceCountLoader,
  profile: blockLoader('profile'),
  webhooks: blockLoader('webhooks'),
  websocket: blockLoader('websocket'),
  chatwoot: blockLoader('chatwoot'),
  proxy: blockLoader('proxy'),
  settings: blockLoader('settings'),
  s3: blockLoader('s3'),
}

type Created = { [Name in keyof typeof CREATE]: ReturnType<(typeof CREATE)[Name]> }

/** By instance id. */
function blockLoader<Name extends BlockName>(name: Name) {
  return (rows: Rows) =>
    new DataLoader<string, Blocks[Name]>((ids) => readBlocks(rows.db, rows.remembered(), name, ids), {
      batchScheduleFn: (send) => void rows.instances.afterReadings(send),
    })
}

/**
 * The one door to rows, for one viewer and one request: whatever is loaded twice is read once, from memory or not. A loader
 * is created when it is first asked for, since most operations need few of them.
 */
export class Loaders {
  readonly #services: Pick<Services, 'db' | 'readModel'>
  readonly #viewer: Viewer
  #rows: Rows
  #created: Partial<Created> = {}

  constructor(services: Pick<Services, 'db' | 'readModel'>, viewer: Viewer) {
    this.#services = services
    this.#viewer = viewer
    this.#rows = new Rows(services, viewer)
  }

  get instances() {
    return this.#of('instances')
  }

  get instancePage() {
    return this.#of('instancePage')
  }

  get instanceById() {
    return this.#of('instanceById')
  }

  get account() {
    return this.#of('account')
  }

  get instanceCount() {
    return this.#of('instanceCount')
  }

  get profile() {
    return this.#of('profile')
  }

  get webhooks() {
    return this.#of('webhooks')
  }

  get websocket() {
    return this.#of('websocket')
  }

  get chatwoot() {
    return this.#of('chatwoot')
  }

  get proxy() {
    return this.#of('proxy')
  }

  get settings() {
    return this.#of('settings')
  }

  get s3() {
    return this.#of('s3')
  }

  /** After a write: what was loaded before it may be loaded again. */
  forget(): void {
    this.#rows = new Rows(this.#services, this.#viewer)
    this.#created = {}
  }

  #of<Name extends keyof Created>(name: Name): Created[Name] {
    const create = CREATE[name] as (rows: Rows) => Created[Name]
    return (this.#created[name] ??= create(this.#rows))
  }
}
