import type { Kysely } from 'kysely'
import type { DB } from './db/types.ts'
import { Outstanding } from './outstanding.ts'
import type { AccountRows } from './read-model/account-rows.ts'
import type { Services } from './services.ts'
import { tenantOf, type Viewer } from './viewer/viewer.ts'

/** Where the loaders of one viewer and one request read: in memory while that is current, else in the database. */
export class Rows {
  readonly db: Kysely<DB>
  readonly viewer: Viewer
  readonly instances = new Outstanding()
  readonly #readModel: Services['readModel']
  readonly #isCurrent: boolean

  constructor({ db, readModel }: Pick<Services, 'db' | 'readModel'>, viewer: Viewer) {
    this.db = db
    this.viewer = viewer
    this.#readModel = readModel
    this.#isCurrent = readModel.isCurrent()
  }

  /**
   * The viewer's account in memory; null: ask the database. Asked for with each reading, since an account that was dropped
   * hears of no change.
   */
  remembered(): AccountRows | null {
    return this.#isCurrent ? this.#readModel.account(tenantOf(this.viewer)) : null
  }
}
