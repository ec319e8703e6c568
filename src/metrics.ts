/** One series, or one for each value of `label`; read when it is asked for. */
export type Metric = {
  kind: 'gauge' | 'counter'
  name: string
  help: string
  label: string | null
  read(): number | Readonly<Record<string, number>>
}

const PREFIX = 'switchboard_'

/**
 * What a node tells of itself, whether or not anybody asks. Labels are closed lists of words: no account, instance,
 * number, address or token is ever one.
 */
export class Metrics {
  readonly #metrics: Metric[] = []

  get all(): readonly Metric[] {
    return this.#metrics
  }

  /** A present value. */
  gauge(name: string, help: string, read: () => number): void {
    this.#metrics.push({ kind: 'gauge', name: PREFIX + name, help, label: null, read })
  }

  /** Present values, by what stands before them. */
  gaugeBy(label: string, name: string, help: string, read: () => Readonly<Record<string, number>>): void {
    this.#metrics.push({ kind: 'gauge', name: PREFIX + name, help, label, read })
  }

  /** What somebody counts from 0 upwards; `name` ends with `_total`. */
  total(name: string, help: string, read: () => number): void {
    this.#metrics.push({ kind: 'counter', name: PREFIX + name, help, label: null, read })
  }

  /** The same, counted here, by the function that is returned. */
  counter(name: string, help: string): (times?: number) => void {
    let count = 0
    this.total(name, help, () => count)
    return (times = 1) => {
      count += times
    }
  }
}
