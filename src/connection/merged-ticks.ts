import type { Topics } from '../events.ts'
import type { ConnectionTick } from './tick.ts'

const WINDOW_MS = 200

type Listener = (tick: ConnectionTick) => void
/** The time after a change in which further ones of the same instance wait, the newest in place of all. */
type Window = { timer: NodeJS.Timeout; waiting: ConnectionTick | null }
type Account = { listeners: Set<Listener>; windows: Map<string, Window>; unsubscribe: () => void }

/**
 * Ticks as streams are told of them: the first change of an instance at once, later ones merged to one per window. It is
 * done once for all readers of an account, so that an instance that flips a thousand times costs each of them five events.
 */
export class MergedTicks {
  readonly #ticks: Topics<ConnectionTick>
  readonly #windowMs: number
  readonly #accounts = new Map<string, Account>()

  constructor(ticks: Topics<ConnectionTick>, windowMs = WINDOW_MS) {
    this.#ticks = ticks
    this.#windowMs = windowMs
  }

  /** Returns the function that ends the subscription. */
  subscribe(accountId: string, listener: Listener): () => void {
    const account = this.#accounts.get(accountId) ?? this.#open(accountId)
    account.listeners.add(listener)
    return () => {
      if (account.listeners.delete(listener) && account.listeners.size === 0) this.#close(accountId, account)
    }
  }

  #open(accountId: string): Account {
    const listeners = new Set<Listener>()
    const windows = new Map<string, Window>()
    const publish = (tick: ConnectionTick) => listeners.forEach((listener) => listener(tick))
    const openWindow = (id: string): Window => {
      const timer = setTimeout(() => {
        const { waiting } = windows.get(id) ?? {}
        windows.delete(id)
        if (!waiting) return
        windows.set(id, openWindow(id))
        publish(waiting)
      }, this.#windowMs)
      return { timer, waiting: null }
    }
    const unsubscribe = this.#ticks.subscribe(accountId, (tick) => {
      const { id } = tick.instance
      const window = windows.get(id)
      if (tick.kind === 'changed' && window) {
        window.waiting = tick
        return
      }
      if (tick.kind === 'changed') windows.set(id, openWindow(id))
      else if (window) {
        clearTimeout(window.timer)
        windows.delete(id)
      }
      publish(tick)
    })
    const account = { listeners, windows, unsubscribe }
    this.#accounts.set(accountId, account)
    return account
  }

  #close(accountId: string, { windows, unsubscribe }: Account): void {
    unsubscribe()
    for (const { timer } of windows.values()) clearTimeout(timer)
    this.#accounts.delete(accountId)
  }
}
