import type { NameFilter } from '../instance/filter.ts'
import type { Instance } from '../instance/queries.ts'
import type { Viewer } from '../viewer/viewer.ts'
import { tenantOf } from '../viewer/viewer.ts'
import { ConnectionLog } from './log.ts'
import type { MergedTicks } from './merged-ticks.ts'
import type { ConnectionReader } from './reader.ts'
import { statusOfDeleted } from './rest.ts'
import type { ConnectionStatus } from './state.ts'
import type { PassingTick } from './tick.ts'

/** A log for each set of instances that anybody follows, while somebody does. */
export class ConnectionLogs {
  readonly #ticks: MergedTicks
  readonly #statusOf: (instance: Instance) => ConnectionStatus
  readonly #logs = new Map<string, ConnectionLog>()

  constructor(ticks: MergedTicks, statusOf: (instance: Instance) => ConnectionStatus) {
    this.#ticks = ticks
    this.#statusOf = statusOf
  }

  /** How many sets are followed: 0 when everybody has gone. */
  get size(): number {
    return this.#logs.size
  }

  /** A reader of the viewer's instances, to be closed. */
  read(viewer: Viewer, filter: NameFilter): ConnectionReader {
    // Whoever sees the same shares a log, and nobody else.
    const key = JSON.stringify([viewer, filter === 'all' ? filter : filter.toSorted()])
    const log = this.#logs.get(key) ?? this.#open(key, viewer, filter)
    return log.read()
  }

  /** Has every stream tell something, because streams have begun to be delayed, or are not any more. */
  repeat(): void {
    for (const log of this.#logs.values()) log.repeat()
  }

  /**
   * Compares what was told of an account with its rows. Returns a coming for each row, which is news for those only who
   * have missed it, and a going for each instance that has none.
   */
  async compare(accountId: string, readRows: () => Promise<Instance[]>): Promise<PassingTick[]> {
    // Before the rows are read: what comes meanwhile is not missed.
    const entries = [...this.#logs.values()].flatMap((log) => log.list())
    const told = new Map(entries.map(({ instance, connection }) => [instance.id, { instance, connection }]))
    const rows = await readRows()
    for (const { id } of rows) told.delete(id)
    const gone = [...told.values()].filter(({ instance }) => instance.accountId === accountId)
    return [
      ...rows.map((instance): PassingTick => ({ kind: 'added', instance })),
      ...gone.map(({ instance, connection }): PassingTick => {
        const last = statusOfDeleted(instance, new Date(), connection.sequence + 2)
        return { kind: 'removed', instance, last }
      }),
    ]
  }

  #open(key: string, viewer: Viewer, filter: NameFilter): ConnectionLog {
    const names = filter === 'all' ? null : new Set(filter)
    const covers = ({ id, accountId, name }: Instance) =>
      viewer.kind === 'account'
        ? accountId === viewer.accountId && (names?.has(name) ?? true)
        : id === viewer.instanceId
    const log = new ConnectionLog(covers, this.#statusOf, () => {
      this.#logs.delete(key)
      stop()
    })
    const stop = this.#ticks.subscribe(tenantOf(viewer), (tick) => log.note(tick))
    this.#logs.set(key, log)
    return log
  }
}
