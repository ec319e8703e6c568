import { monotonicMs } from '../monotonic.ts'
import type { Connection } from './connection.ts'

/** The life of one logged-in socket, on the machine's monotonic clock. */
export type SocketLife = {
  number: string
  /** Which client it is from: the `node` of the address that it was opened with. */
  node: string | null
  openedAt: number
  /** When a newer login of the same device threw it out. */
  replacedAt: number | null
  closedAt: number | null
}

/** A long run must not fill the memory. */
const KEPT = 50_000

/** When the sockets of each device were open, for whoever asks afterwards whether there was ever more than one. */
export class SocketLog {
  readonly #lives: SocketLife[] = []
  readonly #open = new Map<Connection, SocketLife>()

  opened(connection: Connection, number: string): void {
    const life = { number, node: connection.node, openedAt: monotonicMs(), replacedAt: null, closedAt: null }
    this.#open.set(connection, life)
    this.#lives.push(life)
    if (this.#lives.length > KEPT) this.#lives.shift()
  }

  replaced(connection: Connection): void {
    const life = this.#open.get(connection)
    if (life) life.replacedAt ??= monotonicMs()
  }

  closed(connection: Connection): void {
    const life = this.#open.get(connection)
    if (life) life.closedAt = monotonicMs()
    this.#open.delete(connection)
  }

  all(): readonly SocketLife[] {
    return this.#lives
  }
}
