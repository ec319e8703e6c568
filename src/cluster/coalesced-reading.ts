/**
 * Reads something for several keys at once, one reading at a time. Whoever asks gets a reading that begins after the
 * question, so that it has all that was true by then.
 */
export class CoalescedReading {
  readonly #read: (keys: ReadonlySet<string>) => Promise<void>
  #waiting = new Set<string>()
  #next: Promise<void> | null = null
  #current: Promise<void> = Promise.resolve()

  /** @param read does not reject */
  constructor(read: (keys: ReadonlySet<string>) => Promise<void>) {
    this.#read = read
  }

  ask(keys: Iterable<string> = []): Promise<void> {
    for (const key of keys) this.#waiting.add(key)
    this.#next ??= this.#current.then(() => {
      const keysNow = this.#waiting
      this.#waiting = new Set()
      this.#next = null
      this.#current = this.#read(keysNow)
      return this.#current
    })
    return this.#next
  }
}
