/**
 * The events of a subscription, without a queue: what comes next is asked of `take` when there is room for it, so a reader
 * costs what `take` keeps and nothing more. Whoever has something new calls `wake`.
 */
export class Source<Event extends object> implements AsyncIterable<Event> {
  readonly #take: () => Event | null
  readonly #stop: () => void
  #isOver = false
  /** Called when there may be something to take, and when it is over. */
  onReady: () => void = () => {}

  /**
   * @param take the next event, or null when there is none yet
   * @param stop called once, when it is closed
   */
  constructor(take: () => Event | null, stop: () => void) {
    this.#take = take
    this.#stop = stop
  }

  get isOver(): boolean {
    return this.#isOver
  }

  take(): Event | null {
    return this.#isOver ? null : this.#take()
  }

  wake(): void {
    this.onReady()
  }

  close(): void {
    if (this.#isOver) return
    this.#isOver = true
    this.#stop()
    this.wake()
  }

  /** graphql subscribes to nothing that cannot be iterated over; it is taken from instead. */
  [Symbol.asyncIterator](): AsyncIterator<Event> {
    throw new Error('A source is taken from')
  }
}
