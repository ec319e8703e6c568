import { type IntervalHistogram, monitorEventLoopDelay } from 'node:perf_hooks'

const RESOLUTION_MS = 20
/** A pause of up to so long before each opening, so that sessions which were told to start together do not. */
const JITTER_MS = 100
/** While the event loop is later than this, nothing more is opened beside what is opening already. */
const LATE_MS = 100
const LOOK_AGAIN_MS = 100

type Waiter = { enter: (leave: () => void) => void }

/**
 * Lets so many sessions open at once and no more, in the order in which they came, and fewer while the event loop is
 * late: an opening costs 50 ms of computing, and requests are served by the same thread.
 */
export class OpeningGate {
  readonly #max: number
  readonly #urgent = new Set<Waiter>()
  readonly #waiting = new Set<Waiter>()
  #inside = 0
  #timer: NodeJS.Timeout | undefined
  #delay: IntervalHistogram | undefined

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
    this.#timer = setTimeout(() => {
      this.#timer = undefined
      this.#letIn()
    }, ms)
  }

  #letIn(): void {
    const [waiter] = this.#urgent.size > 0 ? this.#urgent : this.#waiting
    if (!waiter || this.#inside >= this.#max) return
    if (this.#inside > 0 && this.#isLate()) return this.#schedule(LOOK_AGAIN_MS)
    this.#watchLoop(true)
    this.#urgent.delete(waiter)
    this.#waiting.delete(waiter)
    this.#inside++
    let isInside = true
    waiter.enter(() => {
      if (!isInside) return
      isInside = false
      this.#inside--
      if (this.#inside === 0 && this.#queued === 0) this.#watchLoop(false)
      this.#schedule(Math.random() * JITTER_MS)
    })
    this.#schedule(Math.random() * JITTER_MS)
  }

  get #queued(): number {
    return this.#urgent.size + this.#waiting.size
  }

  #isLate(): boolean {
    const mean = this.#delay && this.#delay.count > 0 ? this.#delay.mean / 1e6 - RESOLUTION_MS : 0
    this.#delay?.reset()
    return mean > LATE_MS
  }

  /** Watching costs a timer: only while something is opening. */
  #watchLoop(on: boolean): void {
    if (on === (this.#delay !== undefined)) return
    if (on) {
      this.#delay = monitorEventLoopDelay({ resolution: RESOLUTION_MS })
      this.#delay.enable()
    } else {
      this.#delay?.disable()
      this.#delay = undefined
    }
  }
}
