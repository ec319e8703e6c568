/**
 * A typed topic per key, told synchronously: a listener only notes what happened, since whoever publishes does not wait.
 * Nothing is kept for readers here; each reader bounds what it keeps.
 */
export class Topics<Tick> {
  readonly #listeners = new Map<string, Set<(tick: Tick) => void>>()

  publish(key: string, tick: Tick): void {
    for (const listener of this.#listeners.get(key) ?? []) listener(tick)
  }

  /** Returns the function that ends the subscription. */
  subscribe(key: string, listener: (tick: Tick) => void): () => void {
    const listeners = this.#listeners.get(key) ?? new Set()
    this.#listeners.set(key, listeners.add(listener))
    return () => {
      listeners.delete(listener)
      if (listeners.size === 0 && this.#listeners.get(key) === listeners) this.#listeners.delete(key)
    }
  }

  isListenedTo(key: string): boolean {
    return this.#listeners.has(key)
  }

  /** How many keys are listened to: 0 when everybody has gone. */
  get size(): number {
    return this.#listeners.size
  }
}
