import type { Instance } from '../instance/queries.ts'
import { ConnectionReader } from './reader.ts'
import type { ConnectionStatus } from './state.ts'
import type { ConnectionTick } from './tick.ts'

/** One step of a stream of connections. */
export type ConnectionEvent = {
  kind: 'snapshot' | 'added' | 'changed' | 'removed'
  instance: Instance
  /** The state when the event was made; of what was removed, the last one. */
  connection: ConnectionStatus
  /** Snapshot events still to come. */
  snapshotRemaining: number
  /** In milliseconds, on a clock that never steps. */
  madeAt: number
}

/** The last that is known of one instance. */
export type Entry = {
  instance: Instance
  connection: ConnectionStatus
  /** The change with which it came into view. */
  readonly since: number
  /** Its last change: ordinals rise over the whole log. */
  ordinal: number
  isRemoved: boolean
  /** When its state was looked at. */
  seenAt: number
  /** What a reader was told, for others to be told the same. */
  event: ConnectionEvent | null
}

/** A change of an entry, passed over when another one has followed it. */
type Change = { ordinal: number; entry: Entry }

/** How long what was seen or made for one reader does for others; changes are merged for as long. */
const FRESH_MS = 200
const SLACK = 64

/**
 * What is told to all who follow the same instances. The log has the last change of each instance, in order, and a reader
 * keeps nothing but its place: one that is slow loses what came between and never the last, and costs nothing.
 */
export class ConnectionLog {
  readonly #covers: (instance: Instance) => boolean
  readonly #statusOf: (instance: Instance) => ConnectionStatus
  readonly #whenUnread: () => void
  readonly #entries = new Map<string, Entry>()
  readonly #readers = new Set<ConnectionReader>()
  /** By ordinal. */
  #changes: Change[] = []
  #last = 0
  #sweepAt = SLACK

  /** @param whenUnread called when its last reader has left */
  constructor(
    covers: (instance: Instance) => boolean,
    statusOf: (instance: Instance) => ConnectionStatus,
    whenUnread: () => void = () => {},
  ) {
    this.#covers = covers
    this.#statusOf = statusOf
    this.#whenUnread = whenUnread
  }

  /** The ordinal of the last change. */
  get last(): number {
    return this.#last
  }

  /** How many changes are kept. */
  get size(): number {
    return this.#changes.length
  }

  /** A reader of what comes from now on; its snapshot is read after this. */
  read(): ConnectionReader {
    const reader = new ConnectionReader(this)
    this.#readers.add(reader)
    return reader
  }

  leave(reader: ConnectionReader): void {
    this.#readers.delete(reader)
    if (this.#readers.size === 0) this.#whenUnread()
  }

  note(tick: ConnectionTick): void {
    if (!this.#covers(tick.instance)) return
    if (tick.kind === 'removed') this.#remove(tick.instance, tick.last)
    else this.#see(tick.instance)
  }

  /** Tells every reader one state once more, because something about the stream itself has changed. */
  repeat(): void {
    const last = this.#changes.findLast(({ ordinal, entry }) => ordinal === entry.ordinal && !entry.isRemoved)
    if (last) this.#append(last.entry)
  }

  /** What is known of the instances that are there. */
  list(): Entry[] {
    return [...this.#entries.values()].filter(({ isRemoved }) => !isRemoved)
  }

  isRemoved(id: string): boolean {
    return this.#entries.get(id)?.isRemoved ?? false
  }

  /** The entry of a row as it is now. What is newer than the log is a change for all. */
  present(row: Instance): Entry {
    const known = this.#entries.get(row.id)
    return known?.isRemoved ? known : this.#see(known?.instance ?? row)
  }

  /** The first change after a place, as it is now, or null. */
  after(place: number): Entry | null {
    for (let ordinal = place; ordinal < this.#last; ) {
      const entry = this.#firstAfter(ordinal)
      if (!entry) return null
      ordinal = entry.ordinal
      if (!entry.isRemoved && performance.now() - entry.seenAt >= FRESH_MS) this.#see(entry.instance)
      // It has changed again, and comes in its new place.
      if (entry.ordinal === ordinal) return entry
    }
    return null
  }

  /**
   * What a reader is told of an entry; the same object for all who are told the same.
   * @param openedAt what was made before it is too old for the reader
   */
  eventOf(entry: Entry, kind: ConnectionEvent['kind'], snapshotRemaining: number, openedAt: number): ConnectionEvent {
    const { event, instance, connection } = entry
    const madeAt = performance.now()
    const fits = event && event.kind === kind && event.snapshotRemaining === snapshotRemaining
    if (fits && event.madeAt >= openedAt && madeAt - event.madeAt < FRESH_MS) return event
    entry.event = { kind, instance, connection, snapshotRemaining, madeAt }
    return entry.event
  }

  #firstAfter(place: number): Entry | null {
    const changes = this.#changes
    let [low, high] = [0, changes.length]
    while (low < high) {
      const middle = (low + high) >>> 1
      if ((changes[middle] as Change).ordinal > place) high = middle
      else low = middle + 1
    }
    for (let index = low; index < changes.length; index++) {
      const { ordinal, entry } = changes[index] as Change
      if (ordinal === entry.ordinal) return entry
    }
    return null
  }

  #see(instance: Instance): Entry {
    // Asked before anything else: a link that this finds to be dead is told of meanwhile.
    const connection = this.#statusOf(instance)
    const seenAt = performance.now()
    const known = this.#entries.get(instance.id)
    if (!known) return this.#append(this.#enter(instance, connection))
    if (known.isRemoved) return known
    const isNews = connection.sequence > known.connection.sequence
    if (isNews || connection.sequence === known.connection.sequence) {
      Object.assign(known, { instance, connection, seenAt })
    }
    return isNews ? this.#append(known) : known
  }

  #remove(instance: Instance, last: ConnectionStatus): void {
    const entry = this.#entries.get(instance.id) ?? this.#enter(instance, last)
    if (entry.isRemoved) return
    this.#append(Object.assign(entry, { instance, connection: last, isRemoved: true }))
  }

  #enter(instance: Instance, connection: ConnectionStatus): Entry {
    const since = this.#last + 1
    const entry = {
      instance,
      connection,
      since,
      ordinal: since,
      isRemoved: false,
      seenAt: performance.now(),
      event: null,
    }
    this.#entries.set(instance.id, entry)
    return entry
  }

  #append(entry: Entry): Entry {
    entry.ordinal = ++this.#last
    entry.event = null
    this.#changes.push({ ordinal: entry.ordinal, entry })
    if (this.#changes.length > this.#sweepAt) this.#sweep()
    for (const reader of this.#readers) reader.wake()
    return entry
  }

  /** Leaves the last change of each instance, and of those that were removed what a reader has still to be told. */
  #sweep(): void {
    this.#changes = this.#changes.filter(({ ordinal, entry }) => {
      if (ordinal !== entry.ordinal) return false
      if (!entry.isRemoved || this.#isAwaited(entry)) return true
      this.#entries.delete(entry.instance.id)
      return false
    })
    this.#sweepAt = 2 * this.#changes.length + SLACK
  }

  #isAwaited(removed: Entry): boolean {
    for (const reader of this.#readers) if (reader.awaits(removed)) return true
    return false
  }
}
