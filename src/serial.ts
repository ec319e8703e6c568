/** Runs tasks one after the other, in the order given; a task that fails does not hold up the next. */
export class SerialQueue {
  #last: Promise<unknown> = Promise.resolve()

  run<Result>(task: () => Promise<Result>): Promise<Result> {
    const result = this.#last.then(task)
    this.#last = result.catch(() => undefined)
    return result
  }

  /** Resolves when everything that was given so far has run. */
  async idle(): Promise<void> {
    await this.#last
  }
}
