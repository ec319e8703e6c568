import type { Kysely } from 'kysely'
import { type Account, listAccountsById } from '../account/queries.ts'
import type { DB } from '../db/types.ts'
import { compareAge } from '../instance/cursor.ts'
import { type Instance, listInstances, listInstancesById } from '../instance/queries.ts'
import type { Viewer } from '../viewer/viewer.ts'
import { BLOCK_BATCHES, type BlockName, type Blocks } from './blocks.ts'
import { InstanceRecord } from './instance-record.ts'

/** An account without instances. */
const EMPTY_BYTES = 2_000

/**
 * The instances of one account in memory: the list with one statement, blocks as they are asked for, and after a change
 * only what has changed. A reader never gets what is older than the moment it asked.
 */
export class AccountRows {
  readonly #db: Kysely<DB>
  readonly #viewer: Extract<Viewer, { kind: 'account' }>
  readonly #onGrow: () => void
  readonly #records = new Map<string, InstanceRecord>()
  #byName = new Map<string, InstanceRecord>()
  #inOrder: readonly InstanceRecord[] = []
  #account: Promise<Account | null> | null = null
  /** Instances that have changed since they were read. */
  #stale: Set<string> | 'all' = 'all'
  /** Changes so far, and how many of them the list has been read after. */
  #changes = 1
  #knownChanges = 0
  #reading: Promise<void> | null = null
  #bytes = EMPTY_BYTES

  /** @param onGrow told when `bytes` has changed */
  constructor(db: Kysely<DB>, accountId: string, onGrow: () => void) {
    this.#db = db
    this.#viewer = { kind: 'account', accountId }
    this.#onGrow = onGrow
  }

  /** What the account occupies, roughly. */
  get bytes(): number {
    return this.#bytes
  }

  /** Something about an instance has changed, or it is new, or gone. */
  forget(instanceId: string): void {
    this.#changes++
    if (this.#stale !== 'all') this.#stale.add(instanceId)
  }

  /** The account itself; null when it is gone. */
  account(): Promise<Account | null> {
    this.#account ??= listAccountsById(this.#db, [this.#viewer.accountId]).then(
      ([account]) => account ?? null,
      (error) => {
        this.#account = null
        throw error
      },
    )
    return this.#account
  }

  /** All instances, oldest first. */
  async list(): Promise<readonly InstanceRecord[]> {
    if (this.#isStale) await this.#refresh()
    return this.#inOrder
  }

  /** Those of the names that exist, oldest first. */
  async named(names: readonly string[]): Promise<readonly InstanceRecord[]> {
    if (this.#isStale) await this.#refresh()
    return names
      .map((name) => this.#byName.get(name))
      .filter((record) => record !== undefined)
      .sort(byAge)
  }

  /** By id, null for those that do not exist. */
  async byId(ids: readonly string[]): Promise<(InstanceRecord | null)[]> {
    if (this.#isStale) await this.#refresh()
    return ids.map((id) => this.#records.get(id) ?? null)
  }

  /** Reads the blocks that the records lack, each with one statement; a reading that is under way is waited for. */
  async load(records: readonly InstanceRecord[], names: readonly BlockName[]): Promise<void> {
    const lacking = names.filter((name) => records.some((record) => !record.has(name)))
    if (lacking.length > 0) await Promise.all(lacking.map((name) => this.#loadBlock(records, name)))
  }

  async #loadBlock<Name extends BlockName>(records: readonly InstanceRecord[], name: Name): Promise<void> {
    const lacking = records.filter((record) => !record.has(name))
    const unread = lacking.filter((record) => !record.loading(name))
    if (unread.length > 0) {
      const reading = this.#readBlock(unread, name)
      for (const record of unread) record.setLoading(name, reading)
    }
    await Promise.all(new Set(lacking.map((record) => record.loading(name))))
  }

  async #readBlock<Name extends BlockName>(records: readonly InstanceRecord[], name: Name): Promise<void> {
    const read = BLOCK_BATCHES[name] as (db: Kysely<DB>, ids: readonly string[]) => Promise<Blocks[Name][]>
    let blocks: Blocks[Name][] = []
    try {
      blocks = await read(
        this.#db,
        records.map(({ instance }) => instance.id),
      )
    } finally {
      for (const [index, record] of records.entries()) record.setLoaded(name, blocks[index])
    }
  }

  get #isStale(): boolean {
    return this.#knownChanges < this.#changes
  }

  /** Reads what has changed before this moment. One reading at a time, so that none puts older rows over newer ones. */
  async #refresh(): Promise<void> {
    const needed = this.#changes
    while (this.#knownChanges < needed) {
      this.#reading ??= this.#readStale().finally(() => {
        this.#reading = null
      })
      await this.#reading
    }
  }

  async #readStale(): Promise<void> {
    const stale = this.#stale
    const changes = this.#changes
    this.#stale = new Set()
    try {
      const instances =
        stale === 'all'
          ? await listInstances(this.#db, this.#viewer)
          : await listInstancesById(this.#db, this.#viewer, [...stale])
      this.#replace(stale === 'all' ? [...this.#records.keys()] : [...stale], instances)
      this.#knownChanges = changes
    } catch (error) {
      this.#stale = stale === 'all' ? 'all' : new Set([...stale, ...this.#stale])
      throw error
    }
  }

  #replace(ids: readonly string[], instances: readonly Instance[]): void {
    let growth = 0
    for (const id of ids) {
      growth -= this.#records.get(id)?.bytes ?? 0
      this.#records.delete(id)
    }
    for (const instance of instances) {
      const record: InstanceRecord = new InstanceRecord(instance, (bytes) => {
        if (this.#records.get(instance.id) === record) this.#grow(bytes)
      })
      this.#records.set(instance.id, record)
      growth += record.bytes
    }
    this.#inOrder = [...this.#records.values()].sort(byAge)
    this.#byName = new Map(this.#inOrder.map((record) => [record.instance.name, record]))
    this.#grow(growth)
  }

  #grow(bytes: number): void {
    this.#bytes += bytes
    this.#onGrow()
  }
}

const byAge = (a: InstanceRecord, b: InstanceRecord): number => compareAge(a.instance, b.instance)
