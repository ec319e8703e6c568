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
  readonly #logs = new Map<string, Log>()

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
    const log = this.#logs.get(key) ?? new Log()
    log.forgetUntil(now - this.#windowMs)
    const granted = log.length + places <= limit
    if (granted) {
      for (let place = 0; place < places; place++) log.push(now)
      this.#logs.delete(key)
      this.#logs.set(key, log)
    }
    return {
      granted,
      remaining: Math.max(0, limit - log.length),
      nextFreeMs: this.#untilExpiry(log.at(0) ?? now, now),
      retryAfterMs: granted ? 0 : this.#untilExpiry(log.at(log.length + places - limit - 1) ?? now, now),
    }
  }

  #untilExpiry(stamp: number, now: number): number {
    return stamp + this.#windowMs - now
  }

  #forgetExpired(now: number): void {
    for (const [key, log] of this.#logs) {
      const newest = log.at(log.length - 1) ?? Number.NEGATIVE_INFINITY
      if (this.#untilExpiry(newest, now) > 0 && this.#logs.size <= this.#maxKeys) return
      this.#logs.delete(key)
    }
  }
}

/** The times of the places taken, oldest first. Those that have left go in bulk: to move the rest up each time would cost its length. */
class Log {
  #stamps: number[] = []
  #first = 0

  get length(): number {
    return this.#stamps.length - this.#first
  }

  at(place: number): number | undefined {
    return this.#stamps[this.#first + place]
  }

  push(stamp: number): void {
    this.#stamps.push(stamp)
  }

  /** Forgets what is not later than a time. */
  forgetUntil(time: number): void {
    while (this.length > 0 && (this.at(0) ?? 0) <= time) this.#first++
    if (this.#first * 2 < this.#stamps.length) return
    this.#stamps = this.#stamps.slice(this.#first)
    this.#first = 0
  }
}
