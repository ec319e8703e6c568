/**
 * The events of a subscription, without a queue: the next one is asked for when there is room for it, so a reader costs
 * what the source keeps and nothing more. Whoever has something new wakes it.
 */
export abstract class Source<Event extends object> implements AsyncIterable<Event> {
  #isOver = false
  /** Told when there may be something to take, and when it is over. */
  reader: { advance(): void } | null = null

  get isOver(): boolean {
    return this.#isOver
  }

  /** The next event, or null when there is none yet. */
  take(): Event | null {
    return this.#isOver ? null : this.next()
  }

  wake(): void {
    this.reader?.advance()
  }

  close(): void {
    if (this.#isOver) return
    this.#isOver = true
    this.stop()
    this.wake()
  }

  protected abstract next(): Event | null

  /** Called once, when it is closed. */
  protected abstract stop(): void

  /** graphql subscribes to nothing that cannot be iterated over; it is taken from instead. */
  [Symbol.asyncIterator](): AsyncIterator<Event> {
    throw new Error('A source is taken from')
  }
}
