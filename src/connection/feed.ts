import type { Instance } from '../instance/queries.ts'
import type { ConnectionStatus } from './state.ts'
import type { ConnectionTick } from './tick.ts'

/** One step of a stream of connections. */
export type ConnectionEvent = {
  kind: 'snapshot' | 'added' | 'changed' | 'removed'
  instance: Instance
  /** The state when the event was taken; of what was removed, the last one. */
  connection: ConnectionStatus
  /** Snapshot events still to come. */
  snapshotRemaining: number
}

/**
 * What one reader has still to be told: the rows of its snapshot, then at most one tick per instance, the newest. States
 * are not kept but read when an event is taken, so a slow reader loses what came between and never the last.
 */
export class ConnectionFeed {
  readonly #covers: (instance: Instance) => boolean
  readonly #statusOf: (instance: Instance) => ConnectionStatus
  /** The last row is the next one; null until the rows are read. */
  #snapshot: Instance[] | null = null
  readonly #pending = new Map<string, ConnectionTick>()
  /** The sequence that was told last of each instance that the reader knows. */
  readonly #told = new Map<string, number>()

  constructor(covers: (instance: Instance) => boolean, statusOf: (instance: Instance) => ConnectionStatus) {
    this.#covers = covers
    this.#statusOf = statusOf
  }

  /** How many events are kept at most until the reader takes one. */
  get size(): number {
    return (this.#snapshot?.length ?? 0) + this.#pending.size
  }

  /** To be called from before the rows are read. A tick keeps the place in line of the one that it supersedes. */
  note(tick: ConnectionTick): void {
    const { id } = tick.instance
    if (!this.#covers(tick.instance) || this.#pending.get(id)?.kind === 'removed') return
    this.#pending.set(id, tick)
  }

  /** The rows as they were read; what was removed meanwhile is not told at all. */
  begin(rows: readonly Instance[]): void {
    this.#snapshot = rows.filter((row) => this.#pending.get(row.id)?.kind !== 'removed').toReversed()
  }

  /** The next event, or null when there is none yet. */
  take(): ConnectionEvent | null {
    const row = this.#snapshot?.pop()
    if (row) return this.#takeSnapshot(row)
    if (!this.#snapshot) return null
    for (const [id, tick] of this.#pending) {
      this.#pending.delete(id)
      const event = this.#eventOf(tick)
      if (event) return event
    }
    return null
  }

  #takeSnapshot(row: Instance): ConnectionEvent {
    const tick = this.#pending.get(row.id)
    this.#pending.delete(row.id)
    const snapshotRemaining = this.#snapshot?.length ?? 0
    // In its place, so that the countdown reaches 0 all the same.
    if (tick?.kind === 'removed') return { ...removed(tick), snapshotRemaining }
    const instance = tick?.instance ?? row
    return { kind: 'snapshot', instance, connection: this.#tell(instance), snapshotRemaining }
  }

  #eventOf(tick: ConnectionTick): ConnectionEvent | null {
    const { instance } = tick
    const told = this.#told.get(instance.id)
    if (tick.kind === 'removed') return this.#told.delete(instance.id) ? removed(tick) : null
    if (told !== undefined && this.#statusOf(instance).sequence <= told) return null
    return {
      kind: told === undefined ? 'added' : 'changed',
      instance,
      connection: this.#tell(instance),
      snapshotRemaining: 0,
    }
  }

  #tell(instance: Instance): ConnectionStatus {
    const connection = this.#statusOf(instance)
    this.#told.set(instance.id, connection.sequence)
    return connection
  }
}

const removed = ({ instance, last }: Extract<ConnectionTick, { kind: 'removed' }>): ConnectionEvent => ({
  kind: 'removed',
  instance,
  connection: last,
  snapshotRemaining: 0,
})
