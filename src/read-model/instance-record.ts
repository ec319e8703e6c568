import type { ConnectionStatus } from '../connection/state.ts'
import { type Bytes, bytesOf } from '../http/bytes.ts'
import type { Instance } from '../instance/queries.ts'
import type { BlockName, Blocks } from './blocks.ts'

/** Objects and strings of a row beside its text, measured: see the benchmark's memory per account. */
const ROW_OVERHEAD_BYTES = 400
/** Selections of which the written bytes are kept at most. */
const MAX_SELECTIONS = 4
/** What a kept selection occupies beside what its rows say: what is said of the connection, and objects. */
const SELECTION_BYTES = 1_000

type Loading = Partial<Record<BlockName, Promise<void>>>

/** What one selection writes of an instance. */
export class WrittenSelection {
  readonly rows: readonly Bytes[]
  #status: ConnectionStatus | null = null
  #connections: readonly Bytes[] = []

  constructor(rows: readonly Bytes[]) {
    this.rows = rows
  }

  get bytes(): number {
    return this.rows.reduce((bytes, part) => bytes + part.length, SELECTION_BYTES)
  }

  /** What is said of the connection; written when the status is another than the last time. */
  connections(status: ConnectionStatus, write: (status: ConnectionStatus) => readonly string[]): readonly Bytes[] {
    if (status !== this.#status) {
      this.#connections = write(status).map(bytesOf)
      const isShort = this.#connections.reduce((bytes, text) => bytes + text.length, 0) <= SELECTION_BYTES
      this.#status = isShort ? status : null
    }
    return this.#connections
  }
}

/**
 * What is known of one instance until something about it changes: then the record is dropped as a whole, and a reading
 * that is still under way fills a record that nobody asks any more. So nothing older than a change outlives it.
 */
export class InstanceRecord {
  readonly instance: Instance
  readonly blocks: Partial<Blocks> = {}
  readonly #loading: Loading = {}
  readonly #written = new Map<object, WrittenSelection>()
  readonly #onGrow: ((bytes: number) => void) | undefined
  #bytes = 0

  /** @param onGrow told of what the record comes to occupy, if it is to be remembered */
  constructor(instance: Instance, onGrow?: (bytes: number) => void) {
    this.instance = instance
    this.#onGrow = onGrow
    if (onGrow) this.#bytes = sizeOf(instance)
  }

  /** What a remembered record occupies, roughly. */
  get bytes(): number {
    return this.#bytes
  }

  has(name: BlockName): boolean {
    return this.blocks[name] !== undefined
  }

  /** The reading of a block that is under way, if one is. */
  loading(name: BlockName): Promise<void> | undefined {
    return this.#loading[name]
  }

  /** Notes a reading, so that whoever asks meanwhile waits for it. */
  setLoading(name: BlockName, reading: Promise<void>): void {
    this.#loading[name] = reading
  }

  /** A block that was read; undefined: the reading failed. */
  setLoaded<Name extends BlockName>(name: Name, block: Blocks[Name] | undefined): void {
    delete this.#loading[name]
    if (block === undefined) return
    this.blocks[name] = block
    if (this.#onGrow) this.#grow(sizeOf(block))
  }

  /** The instance as a selection writes it, in parts; what the rows say is written when it is first asked for. */
  written(selection: object, write: () => readonly string[]): WrittenSelection {
    const known = this.#written.get(selection)
    if (known) return known
    const written = new WrittenSelection(write().map(bytesOf))
    const [oldest] = this.#written.keys()
    if (this.#written.size >= MAX_SELECTIONS && oldest) {
      this.#grow(-(this.#written.get(oldest)?.bytes ?? 0))
      this.#written.delete(oldest)
    }
    this.#written.set(selection, written)
    this.#grow(written.bytes)
    return written
  }

  #grow(bytes: number): void {
    this.#bytes += bytes
    this.#onGrow?.(bytes)
  }
}

const sizeOf = (row: object): number => ROW_OVERHEAD_BYTES + 2 * JSON.stringify(row).length
