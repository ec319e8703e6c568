/**
 * Readings of instances that have not come back yet. What hangs below instances is loaded when all of them have, so that
 * the root fields of an operation share one statement a kind.
 */
export class Outstanding {
  readonly #readings = new Set<Promise<unknown>>()

  /** A batch function whose readings are waited for. */
  track<Key, Row>(read: (keys: readonly Key[]) => Promise<Row[]>): (keys: readonly Key[]) => Promise<Row[]> {
    return (keys) => {
      const reading = read(keys).finally(() => this.#readings.delete(reading))
      this.#readings.add(reading)
      return reading
    }
  }

  /** Has a DataLoader send a batch at the end of the tick in which the last reading came back, as others do of theirs. */
  async afterReadings(send: () => void): Promise<void> {
    do await Promise.allSettled(this.#readings)
    while (this.#readings.size > 0)
    process.nextTick(send)
  }
}
