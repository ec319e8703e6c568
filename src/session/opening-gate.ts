/** A pause of up to so long before each opening, so that sessions which were told to start together do not. */
const JITTER_MS = 100
/** While the event loop is later than this, as one opening makes it, nothing more is opened beside what is opening already. */
const LATE_MS = 50
const LOOK_AGAIN_MS = 100
/** However late it is, one that hangs inside does not keep the next one out for longer. */
const PATIENCE_MS = 2_000

type Waiter = { enter: (leave: () => void) => void }

/**
 * Lets so many sessions open at once and no more, in the order in which they came, and more slowly while the event loop is
 * late: an opening costs 50 ms of computing, and requests are served by the same thread.
 */
export class OpeningGate {
  readonly #max: number
  readonly #urgent = new Set<Waiter>()
  readonly #waiting = new Set<Waiter>()
  #inside = 0
  #enteredAt = 0
  #timer: NodeJS.Timeout | undefined

  constructor(max: number) {
    this.#max = max
  }

  /**
   * Resolves with the function that leaves again; null when the signal came first.
   * @param isUrgent somebody waits for it, and not only the session
   */
  enter(signal: AbortSignal, isUrgent: boolean): Promise<(() => void) | null> {
    if (signal.aborted) return Promise.resolve(null)
    const queue = isUrgent ? this.#urgent : this.#waiting
    return new Promise((resolve) => {
      const abort = () => {
        queue.delete(waiter)
        resolve(null)
      }
      const waiter: Waiter = {
        enter: (leave) => {
          signal.removeEventListener('abort', abort)
          resolve(leave)
        },
      }
      signal.addEventListener('abort', abort, { once: true })
      queue.add(waiter)
      this.#schedule(isUrgent ? 0 : Math.random() * JITTER_MS)
    })
  }

  #schedule(ms: number): void {
    if (this.#timer || this.#queued === 0 || this.#inside >= this.#max) return
    const due = performance.now() + ms
    this.#timer = setTimeout(() => {
      this.#timer = undefined
      this.#letIn(performance.now() - due)
    }, ms)
  }

  #letIn(lateMs: number): void {
    const [waiter] = this.#urgent.size > 0 ? this.#urgent : this.#waiting
    if (!waiter || this.#inside >= this.#max) return
    const isRecent = performance.now() - this.#enteredAt < PATIENCE_MS
    if (this.#inside > 0 && lateMs > LATE_MS && isRecent) return this.#schedule(LOOK_AGAIN_MS)
    this.#enteredAt = performance.now()
    this.#urgent.delete(waiter)
    this.#waiting.delete(waiter)
    this.#inside++
    let isInside = true
    waiter.enter(() => {
      if (!isInside) return
      isInside = false
      this.#inside--
      this.#schedule(Math.random() * JITTER_MS)
    })
    this.#schedule(Math.random() * JITTER_MS)
  }

  get #queued(): number {
    return this.#urgent.size + this.#waiting.size
  }
}
