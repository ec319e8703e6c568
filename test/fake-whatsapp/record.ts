/** All that clients do and a test may want to know of. `number` and `jid` tell whose it is, once that is known. */
export type Happenings = {
  /** A WebSocket upgrade was asked for; `headers` are lower-case. */
  upgrade: { headers: Record<string, string>; path: string }
  /** A client without an account came for a QR code or a pairing code. */
  registration: { version: string; os: string; platformType: number }
  /** A client asked the phone with this number to be told a pairing code. */
  codeRequest: { number: string }
  paired: { number: string; jid: string }
  login: { number: string; jid: string; version: string; pushName: string | null; routingInfo: string | null }
  /** A login that was refused because the device is unknown, removed, or holds another key. */
  refusedLogin: { number: string; device: number }
  /** A device was removed, by the phone or by itself. */
  unlinked: { number: string; jid: string; by: 'phone' | 'device' }
  closed: { number: string | null; jid: string | null; code: number }
  query: { number: string | null; jid: string | null; xmlns: string; type: string; child: string | null }
  presence: { number: string; jid: string; type: string | null; to: string | null; name: string | null }
  chatState: { number: string; jid: string; to: string; state: string }
  /** `type` is null for a delivery; "read", "inactive", "sender", … otherwise. */
  receipt: {
    number: string
    jid: string
    to: string
    ids: string[]
    type: string | null
    participant: string | null
    recipient: string | null
  }
  /** `error` is set when the client refused what it was sent. */
  ack: { number: string; jid: string; class: string; id: string; to: string; error: string | null }
  callRejected: { number: string; jid: string; callId: string; caller: string }
  /** A message was sent; `recipients` are the devices it was encrypted for, `text` is what the contact's phone read. */
  message: {
    number: string
    jid: string
    to: string
    id: string
    type: string
    recipients: string[]
    text: string | null
  }
  /** A client wrote into the account's settings. */
  settingsPatch: { number: string; jid: string; collection: string }
  /** A client broke the protocol. */
  problem: { number: string | null; message: string }
}

export type Kind = keyof Happenings

/** Part of a happening; all of it has to be equal. */
export type Match<K extends Kind> = Partial<Happenings[K]>

/** A long run must not fill the memory. */
const KEPT_PER_KIND = 5_000

export const DEFAULT_PATIENCE_MS = 10_000

type Waiter = { kind: Kind; see(happening: object): void; giveUp(reason: string): void }

/** What has happened, and a way to wait for what will. Waiting always ends. */
export class Recorder {
  readonly #kept = new Map<Kind, object[]>()
  readonly #counts = new Map<Kind, number>()
  readonly #waiters = new Set<Waiter>()

  add<K extends Kind>(kind: K, happening: Happenings[K]): void {
    const kept = this.#list(kind)
    kept.push(happening)
    if (kept.length > KEPT_PER_KIND) kept.shift()
    this.#counts.set(kind, this.count(kind) + 1)
    for (const waiter of this.#waiters) if (waiter.kind === kind) waiter.see(happening)
  }

  count(kind: Kind): number {
    return this.#counts.get(kind) ?? 0
  }

  counts(): Partial<Record<Kind, number>> {
    return Object.fromEntries(this.#counts)
  }

  all<K extends Kind>(kind: K, match: Match<K> = {}): Happenings[K][] {
    return this.#list(kind).filter((happening) => isMatch(happening, match)) as Happenings[K][]
  }

  /** The next one from now on. */
  next<K extends Kind>(kind: K, match: Match<K> = {}, patienceMs = DEFAULT_PATIENCE_MS): Promise<Happenings[K]> {
    const waiting = new Promise<Happenings[K]>((resolve, reject) => {
      const settle = (finish: () => void) => {
        clearTimeout(timer)
        this.#waiters.delete(waiter)
        finish()
      }
      const waiter: Waiter = {
        kind,
        see: (happening) => {
          if (isMatch(happening, match)) settle(() => resolve(happening as Happenings[K]))
        },
        giveUp: (reason) =>
          settle(() =>
            reject(
              new Error(
                `No ${kind} like ${JSON.stringify(match)} ${reason}. Of that kind: ${JSON.stringify(this.#list(kind).slice(-5))}`,
              ),
            ),
          ),
      }
      const timer = setTimeout(() => waiter.giveUp(`within ${patienceMs} ms`), patienceMs)
      this.#waiters.add(waiter)
    })
    // A test that failed before it came to await this has told its reason already.
    waiting.catch(() => {})
    return waiting
  }

  /** The first one there has been, or the next. */
  seen<K extends Kind>(kind: K, match: Match<K> = {}, patienceMs = DEFAULT_PATIENCE_MS): Promise<Happenings[K]> {
    const [first] = this.all(kind, match)
    return first ? Promise.resolve(first) : this.next(kind, match, patienceMs)
  }

  /** Forgets what has happened; counts go on. */
  forget(): void {
    this.#kept.clear()
  }

  close(): void {
    for (const waiter of this.#waiters) waiter.giveUp('before the fake was closed')
  }

  #list(kind: Kind): object[] {
    let list = this.#kept.get(kind)
    if (!list) this.#kept.set(kind, (list = []))
    return list
  }
}

function isMatch(happening: object, match: object): boolean {
  const has = happening as Record<string, unknown>
  return Object.entries(match).every(([name, value]) => JSON.stringify(has[name]) === JSON.stringify(value))
}
