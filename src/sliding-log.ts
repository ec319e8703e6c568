/** The state of one key's log after a call. */
export type Reservation = {
  granted: boolean
  /** Places still free. */
  remaining: number
  /** Milliseconds until a place comes free; the whole window when none is taken. */
  nextFreeMs: number
  /** Milliseconds until what was asked for would be granted. */
  retryAfterMs: number
  /** Milliseconds since 1970 by the clock that decided, where that is not this process's own. */
  at?: number
}

/**
 * Sliding logs: at most `limit` places per key in any `windowMs`. Reserving is one synchronous step, so it is exact under
 * concurrency; a refusal takes nothing. Keys are kept in the order of their last reservation, so the expired ones are
 * at the front and leave as others arrive: memory is bounded by the keys of one window.
 */
export class SlidingLogs {
  readonly #limit: () => number
  readonly #windowMs: number
  readonly #maxKeys: number
  readonly #now: () => number
  /** Per key: the times of the places taken, oldest first. */
  readonly #logs = new Map<string, number[]>()

  /**
   * @param limit asked for at each reservation when it may change
   * @param now a clock in milliseconds that never steps
   */
  constructor(
    limit: number | (() => number),
    windowMs: number,
    options: { maxKeys?: number; now?: () => number } = {},
  ) {
    this.#limit = typeof limit === 'number' ? () => limit : limit
    this.#windowMs = windowMs
    this.#maxKeys = options.maxKeys ?? Number.POSITIVE_INFINITY
    this.#now = options.now ?? (() => performance.now())
  }

  get size(): number {
    return this.#logs.size
  }

  /** Takes `places` at once, or none. */
  reserve(key: string, places: number): Reservation {
    const now = this.#now()
    const limit = this.#limit()
    this.#forgetExpired(now)
    const log = this.#live(this.#logs.get(key) ?? [], now)
    const granted = log.length + places <= limit
    if (granted) {
      for (let place = 0; place < places; place++) log.push(now)
      this.#logs.delete(key)
      this.#logs.set(key, log)
    }
    return {
      granted,
      remaining: Math.max(0, limit - log.length),
      nextFreeMs: this.#untilExpiry(log[0] ?? now, now),
      retryAfterMs: granted ? 0 : this.#untilExpiry(log[log.length + places - limit - 1] ?? now, now),
    }
  }

  #untilExpiry(stamp: number, now: number): number {
    return stamp + this.#windowMs - now
  }

  #live(log: number[], now: number): number[] {
    const firstLive = log.findIndex((stamp) => this.#untilExpiry(stamp, now) > 0)
    if (firstLive !== 0) log.splice(0, firstLive === -1 ? log.length : firstLive)
    return log
  }

  #forgetExpired(now: number): void {
    for (const [key, log] of this.#logs) {
      const newest = log.at(-1) ?? Number.NEGATIVE_INFINITY
      if (this.#untilExpiry(newest, now) > 0 && this.#logs.size <= this.#maxKeys) return
      this.#logs.delete(key)
    }
  }
}
