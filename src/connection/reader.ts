import type { Instance } from '../instance/queries.ts'
import { Source } from '../source.ts'
import type { ConnectionEvent, ConnectionLog, Entry } from './log.ts'

/**
 * One reader of a log: first the rows of its snapshot, then each change that comes after. Once it has caught up with what
 * came meanwhile, it keeps its place in the log and nothing else.
 */
export class ConnectionReader extends Source<ConnectionEvent> {
  readonly #log: ConnectionLog
  readonly #openedAt = performance.now()
  /** The last row is the next one; null until the rows are read, and again after the last. */
  #snapshot: Instance[] | null = null
  /** Until it has caught up: the ordinals that were told, by instance. */
  #told: Map<string, number> | null = new Map()
  #place: number
  /** The last change that came before the snapshot was told. */
  #caughtUpAt = Number.POSITIVE_INFINITY

  constructor(log: ConnectionLog) {
    super()
    this.#log = log
    this.#place = log.last
  }

  /** Whether it may have been told of what was removed, and has not been told of its end. */
  awaits({ since, ordinal }: Entry): boolean {
    return this.#place < ordinal && (this.#told !== null || since <= this.#place)
  }

  /** The rows as they were read; what was removed meanwhile is not told at all. */
  begin(rows: readonly Instance[]): void {
    this.#snapshot = rows.filter(({ id }) => !this.#log.isRemoved(id)).toReversed()
    this.#endSnapshot()
    this.wake()
  }

  protected override next(): ConnectionEvent | null {
    const row = this.#snapshot?.pop()
    if (row) return this.#takeSnapshot(row)
    if (this.#caughtUpAt === Number.POSITIVE_INFINITY) return null
    for (;;) {
      const entry = this.#log.after(this.#place)
      const before = this.#place
      this.#place = entry?.ordinal ?? this.#log.last
      if (this.#place >= this.#caughtUpAt && !entry) this.#told = null
      if (!entry) return null
      const event = this.#eventOf(entry, before)
      if (event) return event
    }
  }

  protected override stop(): void {
    this.#log.leave(this)
  }

  #takeSnapshot(row: Instance): ConnectionEvent {
    const entry = this.#log.present(row)
    this.#told?.set(row.id, entry.ordinal)
    const remaining = this.#snapshot?.length ?? 0
    this.#endSnapshot()
    // A removal comes in its place, so that the countdown reaches 0 all the same.
    return this.#log.eventOf(entry, entry.isRemoved ? 'removed' : 'snapshot', remaining, this.#openedAt)
  }

  #endSnapshot(): void {
    if (this.#snapshot?.length !== 0) return
    this.#snapshot = null
    this.#caughtUpAt = this.#log.last
  }

  #eventOf(entry: Entry, before: number): ConnectionEvent | null {
    const { instance, isRemoved, ordinal, since } = entry
    const told = this.#told?.get(instance.id)
    if (told === ordinal) return null
    const isKnown = this.#told ? told !== undefined : since <= before
    if (isRemoved && !isKnown) return null
    if (!isRemoved) this.#told?.set(instance.id, ordinal)
    return this.#log.eventOf(entry, isRemoved ? 'removed' : isKnown ? 'changed' : 'added', 0, this.#openedAt)
  }
}
