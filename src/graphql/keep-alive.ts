const PING_MS = 12_000
/** Groups that are pinged one after the other, so that many streams are not written to in the same moment. */
const GROUPS = 12

/** All that is open. Each is pinged once in `pingMs`, by one timer that runs while there is any. */
export class KeepAlive<Open extends { ping(): void }> {
  readonly #pingMs: number
  readonly #groups = Array.from({ length: GROUPS }, () => new Set<Open>())
  #size = 0
  #added = 0
  #round = 0
  #timer: NodeJS.Timeout | undefined

  constructor(pingMs = PING_MS) {
    this.#pingMs = pingMs
  }

  add(one: Open): void {
    this.#groupAt(this.#added++).add(one)
    this.#size++
    this.#timer ??= setInterval(() => this.#pingGroup(), this.#pingMs / GROUPS)
  }

  delete(one: Open): void {
    if (!this.#groups.some((group) => group.delete(one))) return
    if (--this.#size > 0) return
    clearInterval(this.#timer)
    this.#timer = undefined
  }

  *[Symbol.iterator](): Iterator<Open> {
    for (const group of this.#groups) yield* group
  }

  #pingGroup(): void {
    for (const one of this.#groupAt(this.#round++)) one.ping()
  }

  #groupAt(count: number): Set<Open> {
    return this.#groups[count % GROUPS] as Set<Open>
  }
}
