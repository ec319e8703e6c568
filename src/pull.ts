/**
 * An async iterator without a queue: what comes next is asked of `take` when the reader asks, so a reader costs what
 * `take` keeps and nothing more. Whoever has something new calls `wake`.
 */
export class Pull<Item> implements AsyncIterableIterator<Item, undefined> {
  readonly #take: () => Item | null
  readonly #stop: () => void
  #isOver = false
  #waiting: (() => void)[] = []

  /**
   * @param take the next item, or null when there is none yet
   * @param stop called once, when the reader has gone or `return` was called
   */
  constructor(take: () => Item | null, stop: () => void) {
    this.#take = take
    this.#stop = stop
  }

  wake(): void {
    for (const goOn of this.#waiting.splice(0)) goOn()
  }

  async next(): Promise<IteratorResult<Item, undefined>> {
    while (!this.#isOver) {
      const item = this.#take()
      if (item !== null) return { done: false, value: item }
      await new Promise<void>((resolve) => this.#waiting.push(resolve))
    }
    return { done: true, value: undefined }
  }

  async return(): Promise<IteratorResult<Item, undefined>> {
    if (!this.#isOver) {
      this.#isOver = true
      this.#stop()
      this.wake()
    }
    return { done: true, value: undefined }
  }

  [Symbol.asyncIterator](): this {
    return this
  }
}
