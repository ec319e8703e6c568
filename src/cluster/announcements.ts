import { epochOf, lastSequenceOf } from '../connection/sequence.ts'
import type { ConnectionStatus } from '../connection/state.ts'
import type { ConnectionTick } from '../connection/tick.ts'
import type { Instance } from '../instance/queries.ts'
import { isOutcome } from '../pairing/feed.ts'
import type { PairingStep } from '../pairing/step.ts'
import type { Bus } from './bus.ts'
import type { NodeRef } from './node.ts'
import type { AccountStates, NumberedStep, Passing, StatesRequest, Told } from './wire.ts'

/** Changes of one account that come so close together are told together, each instance once. */
const WINDOW_MS = 5
/** Comings and goings that are kept for those who missed their announcement. */
const MAX_PASSINGS = 200
const KEEP_OUTCOME_MS = 60_000
/** An account without a session here is forgotten when nothing has happened to it between two sweeps. */
const SWEEP_MS = 10 * 60_000

type Account = {
  /** What was noted of it so far. */
  number: number
  /** What was announced of it so far. */
  announced: number
  /** What was noted of it up to the last sweep. */
  swept: number
  /** What a session was when it left; null: what it is when it is told. */
  changed: Map<string, Told | null>
  passings: Passing[]
  /** The last of those that are not kept any more. */
  cutAt: number
  unannounced: Passing[]
  timer: NodeJS.Timeout | undefined
}

export type AnnouncementServices = {
  bus: Pick<Bus, 'publish'>
  /** This node's registration; null while it has none, and nothing to tell. */
  self(): NodeRef | null
  /** What runs here, as it is now. */
  sessions: SessionsHere
}

/** A session of this node; `step` is what a running pairing offers. */
export type SessionHere = { instance: Instance; status: ConnectionStatus; step: PairingStep | null }

/** The sessions of this node, as far as other nodes are told of them. */
export type SessionsHere = {
  find(instanceId: string): SessionHere | null
  list(accountIds: ReadonlySet<string>): SessionHere[]
}

/**
 * What this node tells the others of its sessions. Each change is counted by its account, so that whoever has missed one
 * notices, and can ask for all of them by the number that it knows.
 */
export class Announcements {
  readonly #services: AnnouncementServices
  readonly #accounts = new Map<string, Account>()
  readonly #steps = new Map<string, NumberedStep>()
  readonly #forgetting = new Set<NodeJS.Timeout>()
  readonly #sweeping: NodeJS.Timeout
  /** The highest number of an account that was forgotten: others may still know it by that. */
  #forgottenUpTo = 0

  constructor(services: AnnouncementServices) {
    this.#services = services
    this.#sweeping = setInterval(() => this.#sweep(), SWEEP_MS).unref()
  }

  noteTick(tick: ConnectionTick): void {
    const { id, accountId } = tick.instance
    const account = this.#count(accountId)
    if (tick.kind === 'changed') {
      account.changed.set(id, null)
      return
    }
    const passing = { number: account.number, tick }
    account.unannounced.push(passing)
    account.passings.push(passing)
    if (account.passings.length > MAX_PASSINGS) account.cutAt = account.passings.shift()?.number ?? 0
    if (tick.kind === 'removed') this.#steps.delete(id)
  }

  noteStep({ id, accountId }: Instance, step: PairingStep): void {
    const account = this.#count(accountId)
    const numbered = { number: account.number, step }
    account.changed.set(id, null)
    this.#steps.set(id, numbered)
    if (!isOutcome(step)) return
    // Kept for a while for those who have missed it, since the attempt that it ended is not there to be asked any more.
    const timer = setTimeout(() => {
      this.#forgetting.delete(timer)
      if (this.#steps.get(id) === numbered) this.#steps.delete(id)
    }, KEEP_OUTCOME_MS).unref()
    this.#forgetting.add(timer)
  }

  /** A session has left this node, and cannot be asked any more when that is told: its epoch is over. */
  noteReleased(instance: Instance, status: ConnectionStatus): void {
    const account = this.#count(instance.accountId)
    const last = this.#steps.get(instance.id)
    const step = last && isOutcome(last.step) ? last : null
    if (!step) this.#steps.delete(instance.id)
    const ended = { ...status, sequence: lastSequenceOf(epochOf(status.sequence)) }
    account.changed.set(instance.id, { instance, status: ended, step })
  }

  /** The truth about some accounts: in full where something has changed since the number that is known. */
  statesOf({
    accounts,
    observed = false,
  }: Pick<StatesRequest, 'accounts' | 'observed'>): Record<string, AccountStates> {
    const forgotten = { number: this.#forgottenUpTo, passings: [], cutAt: this.#forgottenUpTo }
    const asked = Object.entries(accounts).map(([accountId, known]) => {
      const { number, passings, cutAt } = this.#accounts.get(accountId) ?? forgotten
      return { accountId, known, number, passings, cutAt }
    })
    const wanted = asked.filter(({ known, number }) => observed || known !== number)
    const listed = this.#services.sessions.list(new Set(wanted.map(({ accountId }) => accountId)))
    const byAccount = groupBy(listed, accountIdOf)
    const states: Record<string, AccountStates> = {}
    for (const { accountId, known, number, passings, cutAt } of asked) {
      const sessions = byAccount.get(accountId) ?? []
      states[accountId] =
        known === number
          ? { number, ...(observed && { observed: observedOf(sessions) }) }
          : {
              number,
              told: sessions.map((session) => this.#withStep(session)),
              passings: known === null ? [] : passings.filter((passing) => passing.number > known),
              isCut: known !== null && known < cutAt,
            }
    }
    return states
  }

  /** A session of this node as others are told of it; null when it has none of the instance. */
  toldOf(instanceId: string): Told | null {
    const session = this.#services.sessions.find(instanceId)
    return session && this.#withStep(session)
  }

  /** What has not been announced yet is by now, as for an end of the process. */
  close(): void {
    for (const [accountId, account] of this.#accounts) {
      if (!account.timer) continue
      clearTimeout(account.timer)
      this.#announce(accountId, account)
    }
    for (const timer of this.#forgetting) clearTimeout(timer)
    clearInterval(this.#sweeping)
  }

  #sweep(): void {
    const idle = new Set<string>()
    for (const [accountId, account] of this.#accounts) {
      if (account.number === account.swept) idle.add(accountId)
      account.swept = account.number
    }
    for (const { instance } of this.#services.sessions.list(idle)) idle.delete(instance.accountId)
    for (const accountId of idle) {
      this.#forgottenUpTo = Math.max(this.#forgottenUpTo, this.#accounts.get(accountId)?.number ?? 0)
      this.#accounts.delete(accountId)
    }
  }

  #count(accountId: string): Account {
    const account = this.#accounts.get(accountId) ?? {
      number: this.#forgottenUpTo,
      announced: this.#forgottenUpTo,
      swept: 0,
      changed: new Map(),
      passings: [],
      cutAt: this.#forgottenUpTo,
      unannounced: [],
      timer: undefined,
    }
    this.#accounts.set(accountId, account)
    account.number++
    account.timer ??= setTimeout(() => this.#announce(accountId, account), WINDOW_MS)
    return account
  }

  #announce(accountId: string, account: Account): void {
    account.timer = undefined
    const { number, announced: before, changed, unannounced: passings } = account
    account.announced = number
    account.changed = new Map()
    account.unannounced = []
    const from = this.#services.self()
    if (!from) return
    const told = [...changed].flatMap(([id, last]) => last ?? this.toldOf(id) ?? [])
    this.#services.bus.publish(accountId, { from, before, number, told, passings })
  }

  #withStep({ instance, status, step }: SessionHere): Told {
    const numbered = this.#steps.get(instance.id)
    const isTold = numbered && (step !== null || isOutcome(numbered.step))
    return { instance, status, step: isTold ? numbered : null }
  }
}

const accountIdOf = ({ instance }: SessionHere) => instance.accountId

const observedOf = (sessions: readonly SessionHere[]): Record<string, number> =>
  Object.fromEntries(
    sessions.flatMap(({ instance, status }) => (status.observedAt ? [[instance.id, status.observedAt.getTime()]] : [])),
  )

function groupBy<Item>(items: readonly Item[], keyOf: (item: Item) => string): Map<string, Item[]> {
  const groups = new Map<string, Item[]>()
  for (const item of items) {
    const key = keyOf(item)
    const group = groups.get(key)
    if (group) group.push(item)
    else groups.set(key, [item])
  }
  return groups
}
