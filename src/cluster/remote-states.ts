import { reasonOf } from '../connection/reasons.ts'
import { statusAtRest } from '../connection/rest.ts'
import { doubtOf, epochOf, lastSequenceOf, sequenceOf } from '../connection/sequence.ts'
import type { ConnectionStatus } from '../connection/state.ts'
import type { ConnectionTick, PassingTick } from '../connection/tick.ts'
import type { Topics } from '../events.ts'
import type { Instance } from '../instance/queries.ts'
import type { Logger } from '../logger.ts'
import { serviceUnavailable } from '../errors.ts'
import { isOutcome } from '../pairing/feed.ts'
import type { PairingStep } from '../pairing/step.ts'
import type { Bus } from './bus.ts'
import { CoalescedReading } from './coalesced-reading.ts'
import type { NodeRef, Ownership, PeerNode, Peers } from './node.ts'
import { within } from '../within.ts'
import type { Announcement, StatesAnswer, StatesRequest, Teller, Told } from './wire.ts'

/** How often peers are asked what was missed: without the bus that is all that streams hear of other nodes. */
const LOOK_EVERY_MS = 2_000
/** What a peer has said no longer ago than this counts as the truth while the bus is up. */
const FRESH_MS = 5_000
/** A link of a node that has not been heard of for so long is not called open any more. */
const DOUBT_MS = 10_000
/** An account that nobody asks for and nobody listens to is forgotten. */
const FORGET_MS = 5 * 60_000
/** When links were heard from last moves without a change: it is asked for with every so manyth look. */
const LOOKS_PER_OBSERVATION = 8
/** A node that has no registration for longer cannot tell anything of the others. */
const PEERS_KNOWN_MS = 5_000
const ACCOUNTS_PER_READING = 500
const DOUBTS_PER_READING = 5_000
/** A deleted instance may be told of for as long by an owner who has not heard of it yet. */
const FORGOTTEN_MS = 60_000
/** Burials that are remembered, so that what a dead node has sent last is not taken for news. */
const MAX_BURIED = 1_000

export type RemoteStatesServices = {
  /** This node's id: what it tells itself is not news. */
  selfId: string
  /** This node's registration; null while it has none. */
  self(): NodeRef | null
  bus: Bus
  peers: Peers
  /** @throws when the peer does not answer in time */
  readStates(peer: PeerNode, request: StatesRequest): Promise<StatesAnswer>
  /** @throws when the database is away */
  readOwners(accountIds: readonly string[]): Promise<Ownership[]>
  /**
   * Compares what streams were told of an account with its rows; returns the comings and goings that they may have missed.
   * @throws when the database is away
   */
  findMissed(accountId: string): Promise<PassingTick[]>
  /** Whether this node runs the session itself, and knows better. */
  isHere(instanceId: string): boolean
  connectionTicks: Topics<ConnectionTick>
  pairingSteps: Topics<PairingStep>
  /** `isDelayed` says something else than before. */
  onDelayChange(): void
  logger: Logger
  /** A clock that no one sets, in ms. */
  now?: () => number
}

/**
 * What a node has told of a session. `heardAt`: when it was known to be so at the latest. `isDoubted`: it says something
 * else here, because the node could not be asked for too long.
 */
type Entry = { node: NodeRef; told: Told; heardAt: number; isDoubted: boolean }

type Account = {
  /** By node id: up to which number its announcements are known. */
  numbers: Map<string, number>
  instanceIds: Set<string>
  /** By instance: its epoch as the database had it when it was asked last, and whether anybody owned it. */
  owners: Map<string, Ownership>
  askedAt: number
  /** Resolves when it has been read once. */
  opening: Promise<void> | null
}

/** A peer, and how well it can be asked. `confirmedAt`: when it was last known to run its sessions. */
type Contact = {
  node: NodeRef
  confirmedAt: number
  isReachable: boolean
  /** Whether it can tell its changes at the moment. */
  isBusUp: boolean
  /** Sessions of it whose status is doubted. */
  doubted: Set<string>
  reading: CoalescedReading | null
}

/**
 * The sessions of other nodes, as far as somebody here asks for their accounts. Announcements keep it current; the truth is
 * read from the peers when an account is asked for first, when an announcement was missed, and while the bus is away.
 * Of an instance only what has a higher sequence is taken, so that nobody is told anything older than what he knows.
 */
export class RemoteStates {
  readonly #services: RemoteStatesServices
  readonly #now: () => number
  readonly #entries = new Map<string, Entry>()
  readonly #accounts = new Map<string, Account>()
  readonly #contacts = new Map<string, Contact>()
  readonly #buried = new Set<string>()
  /** By instance that was deleted: when that was heard. */
  readonly #forgotten = new Map<string, number>()
  /** Accounts whose rows have still to be read again, because the database was away. */
  readonly #unread = new Set<string>()
  readonly #readingRows = new CoalescedReading((accountIds) => this.#readRows(accountIds))
  readonly #startedAt = new Date()
  readonly #stopListening: () => void
  readonly #looking: NodeJS.Timeout
  #looks = 0
  #wasDelayed = false

  constructor(services: RemoteStatesServices) {
    this.#services = services
    this.#now = services.now ?? (() => performance.now())
    services.bus.listen({
      onMessage: (accountId, announcement) => this.#hear(accountId, announcement),
      onUp: () => {
        this.#noteDelay()
        void this.#readAll()
      },
      onDown: () => {
        this.#noteDelay()
        // The others learn by it that they have to ask from now on.
        void this.#readAll()
      },
    })
    this.#stopListening = services.peers.onChange(({ come, gone }) => {
      // One that begins to drain is named in both.
      for (const peer of gone) if (!services.peers.list().some((listed) => isSame(listed, peer))) this.#bury(peer)
      if (this.#accounts.size > 0) for (const peer of come) void this.#read(peer, this.#accounts.keys())
    })
    this.#looking = setInterval(() => void this.look(), LOOK_EVERY_MS).unref()
  }

  /** Resolves when what is known of an account is the truth; undefined when it is already. */
  prepare(accountId: string): Promise<void> | undefined {
    const account = this.#accounts.get(accountId)
    if (!account) return this.#open(accountId)
    account.askedAt = this.#now()
    if (account.opening) return account.opening
    const asked = this.#reachable().filter((peer) => !this.#hearsOf(peer) || !this.#isFresh(peer))
    if (asked.length === 0) return undefined
    return Promise.all(asked.map((peer) => this.#read(peer, [accountId]))).then(nothing)
  }

  /** The last that is known of an instance whose session is not here; null for an account that nobody has prepared. */
  statusOf(instance: Instance): ConnectionStatus | null {
    const entry = this.#entries.get(instance.id)
    if (entry) {
      this.#doubtUnconfirmed(entry)
      return entry.told.status
    }
    const account = this.#accounts.get(instance.accountId)
    if (!account || account.opening) return null
    const { epoch = 0, node = null } = account.owners.get(instance.id) ?? {}
    const isOwned = node !== null && !this.#isBuried(node)
    const status = statusAtRest(instance, this.#startedAt, isOwned ? sequenceOf(epoch, 0) : lastSequenceOf(epoch))
    return status.reason?.code === 'UNKNOWN' ? { ...status, reason: reasonOf('HANDOVER') } : status
  }

  /** What a running pairing elsewhere offers. */
  stepOf(instanceId: string): PairingStep | null {
    const step = this.#entries.get(instanceId)?.told.step?.step
    return step && !isOutcome(step) ? step : null
  }

  /** Whether news of an account from other nodes come late, or not at all. */
  isDelayed(): boolean {
    return this.#asked().some((peer) => !this.#hearsOf(peer) || this.#isUnconfirmed(this.#contact(peer)))
  }

  /** Another node has asked, and said whether it can tell its changes. */
  noteAsker({ isBusUp, ...node }: Teller): void {
    if (this.#isBuried(node)) return
    this.#contact(node).isBusUp = isBusUp
    this.#noteDelay()
  }

  /** Takes what an owner has answered to a command. */
  learn(node: NodeRef, told: Told): void {
    if (this.#accounts.has(told.instance.accountId)) this.#take(node, told, this.#now())
  }

  /** A session has left this node; the last that was told of it here stays known. */
  noteReleased(node: NodeRef, instance: Instance, status: ConnectionStatus): void {
    if (!this.#accounts.has(instance.accountId)) return
    const known = this.#entries.get(instance.id)?.told.status.sequence ?? 0
    if (known > status.sequence) {
      // Its next owner was heard already, and was not news while the session was here.
      this.#services.connectionTicks.publish(instance.accountId, { kind: 'changed', instance })
      return
    }
    this.#keep({ node, told: { instance, status, step: null }, heardAt: this.#now(), isDoubted: false })
    this.#end(instance.id)
  }

  /** The instance was deleted. */
  forget({ id, accountId }: Instance): void {
    const account = this.#accounts.get(accountId)
    this.#entries.delete(id)
    account?.instanceIds.delete(id)
    account?.owners.delete(id)
    this.#forgotten.set(id, this.#now())
  }

  /** Asks all peers what was missed, and forgets what nobody asks for. */
  async look(): Promise<void> {
    for (const [accountId, { askedAt }] of this.#accounts) {
      if (this.#now() - askedAt < FORGET_MS) continue
      if (!this.#services.connectionTicks.isListenedTo(accountId)) this.#unwatch(accountId)
    }
    for (const [instanceId, at] of this.#forgotten) {
      if (this.#now() - at < FORGOTTEN_MS) break
      this.#forgotten.delete(instanceId)
    }
    this.#looks++
    if (this.#accounts.size === 0) return
    if (this.#unread.size > 0) void this.#readingRows.ask(this.#unread)
    await this.#readAll()
    this.#noteDoubts()
    this.#noteDelay()
  }

  close(): void {
    clearInterval(this.#looking)
    this.#stopListening()
    this.#accounts.clear()
    this.#entries.clear()
  }

  // Accounts.

  #open(accountId: string): Promise<void> {
    const isFirst = !this.#hasOpened()
    const account: Account = {
      numbers: new Map(),
      instanceIds: new Set(),
      owners: new Map(),
      askedAt: this.#now(),
      opening: null,
    }
    this.#accounts.set(accountId, account)
    const open = async () => {
      try {
        // A node that has just been started is asked before it knows of any other.
        const areKnown = await within(
          PEERS_KNOWN_MS,
          this.#services.peers.whenKnown().then(() => true),
        )
        if (!areKnown) throw serviceUnavailable()
        // Listened to before it is read, so that nothing between is lost.
        await this.#services.bus.subscribe(accountId)
        // As long as nobody asked for anything, nobody has looked who can be reached.
        const peers = isFirst ? this.#asked() : this.#reachable()
        await Promise.all([this.#readOwners(accountId, account), ...peers.map((peer) => this.#read(peer, [accountId]))])
        if (isFirst) this.#wasDelayed = this.isDelayed()
      } catch (error) {
        // What is asked for next needs the database, too, and fails there; the next question opens the account anew.
        if (this.#accounts.get(accountId) === account) this.#unwatch(accountId)
        throw error
      }
      account.opening = null
    }
    account.opening = open()
    return account.opening
  }

  #hasOpened(): boolean {
    for (const { opening } of this.#accounts.values()) if (!opening) return true
    return false
  }

  async #readOwners(accountId: string, account: Account): Promise<void> {
    for (const owner of await this.#services.readOwners([accountId])) {
      const { instanceId, epoch, node } = owner
      if (epoch < (account.owners.get(instanceId)?.epoch ?? 0)) continue
      account.owners.set(instanceId, owner)
      if (!node) this.#end(instanceId, epoch)
    }
  }

  /** Finds out in the database what was not heard: who owns what, which instances came and which went. */
  async #readRows(accountIds: ReadonlySet<string>): Promise<void> {
    for (const accountId of accountIds) {
      this.#unread.delete(accountId)
      const account = this.#accounts.get(accountId)
      if (!account) continue
      try {
        await this.#readOwners(accountId, account)
        if (!this.#services.connectionTicks.isListenedTo(accountId)) continue
        for (const tick of await this.#services.findMissed(accountId)) {
          if (!this.#forgotten.has(tick.instance.id)) this.#pass(tick)
        }
      } catch (error) {
        this.#unread.add(accountId)
        this.#services.logger.debug({ err: error }, 'the rows of an account could not be read yet')
      }
    }
  }

  #unwatch(accountId: string): void {
    const account = this.#accounts.get(accountId)
    for (const instanceId of account?.instanceIds ?? []) this.#entries.delete(instanceId)
    this.#accounts.delete(accountId)
    this.#services.bus.unsubscribe(accountId)
  }

  // What is heard.

  #hear(accountId: string, { from, before, number, told, passings }: Announcement): void {
    const account = this.#accounts.get(accountId)
    if (!account || from.id === this.#services.selfId || this.#isBuried(from)) return
    const known = account.numbers.get(from.id)
    if (known !== undefined && number <= known) return
    for (const session of told) this.#take(from, session, this.#now(), known)
    for (const { tick } of passings) this.#pass(tick)
    if (known !== undefined && before <= known) account.numbers.set(from.id, number)
    else void this.#readIfListed(from, accountId)
  }

  /** Takes one session as a node tells of it, if that is news. */
  #take(node: NodeRef, told: Told, heardAt: number, known?: number): void {
    const { instance, status } = told
    if (this.#isBuried(node) || this.#forgotten.has(instance.id)) return
    const contact = this.#contact(node)
    const before = this.#entries.get(instance.id)
    const rise = before ? status.sequence - before.told.status.sequence : 1
    if (rise < 0) return
    contact.doubted.delete(instance.id)
    // Of two tellings of the same, the one that was heard of its link last.
    const isNewerStep = told.step === null || known === undefined || told.step.number > known
    const step = isNewerStep ? told.step : (before?.told.step ?? null)
    this.#keep({ node, told: { ...told, step }, heardAt: Math.max(heardAt, before?.heardAt ?? 0), isDoubted: false })
    if (this.#services.isHere(instance.id)) return
    if (told.step && known !== undefined && told.step.number > known) {
      this.#services.pairingSteps.publish(instance.id, told.step.step)
    }
    if (rise > 0) this.#services.connectionTicks.publish(instance.accountId, { kind: 'changed', instance })
  }

  #keep(entry: Entry): void {
    const { id, accountId } = entry.told.instance
    this.#entries.set(id, entry)
    this.#accounts.get(accountId)?.instanceIds.add(id)
  }

  /** An instance that came or went; told twice it does no harm. */
  #pass(tick: PassingTick): void {
    if (tick.kind === 'removed') this.forget(tick.instance)
    this.#services.connectionTicks.publish(tick.instance.accountId, tick)
  }

  // What is asked.

  #contact(node: NodeRef): Contact {
    const present = this.#contacts.get(node.id)
    if (present && present.node.epoch >= node.epoch) return present
    const contact: Contact = {
      node,
      confirmedAt: this.#now(),
      isReachable: true,
      isBusUp: true,
      doubted: new Set(),
      reading: present?.reading ?? null,
    }
    this.#contacts.set(node.id, contact)
    return contact
  }

  /** Peers that can be asked at all. */
  #asked(): PeerNode[] {
    return this.#services.peers.list().filter(({ address }) => address !== null)
  }

  #reachable(): PeerNode[] {
    return this.#asked().filter((peer) => this.#contact(peer).isReachable)
  }

  /** Whether changes on a node are told here by the bus. */
  #hearsOf(peer: PeerNode): boolean {
    return this.#services.bus.isUp && this.#contact(peer).isBusUp
  }

  #isFresh(peer: PeerNode): boolean {
    return this.#now() - this.#contact(peer).confirmedAt < FRESH_MS
  }

  async #readAll(): Promise<void> {
    await Promise.all(this.#services.peers.list().map((peer) => this.#read(peer, this.#accounts.keys())))
  }

  async #readIfListed({ id }: NodeRef, accountId: string): Promise<void> {
    const peer = this.#services.peers.list().find((listed) => listed.id === id)
    if (peer) await this.#read(peer, [accountId])
  }

  async #read(peer: PeerNode, accountIds: Iterable<string>): Promise<void> {
    if (peer.address === null) return
    const contact = this.#contact(peer)
    contact.reading ??= new CoalescedReading((keys) => this.#readNow(peer.id, [...keys]))
    await contact.reading.ask(accountIds)
  }

  async #readNow(nodeId: string, accountIds: readonly string[]): Promise<void> {
    const peer = this.#services.peers.list().find(({ id }) => id === nodeId)
    if (!peer) return
    for (let start = 0; start < Math.max(1, accountIds.length); start += ACCOUNTS_PER_READING) {
      const isRead = await this.#readSome(peer, accountIds.slice(start, start + ACCOUNTS_PER_READING))
      if (!isRead) return
    }
  }

  async #readSome(peer: PeerNode, accountIds: readonly string[]): Promise<boolean> {
    const askedAt = this.#now()
    const numberOf = (accountId: string) => this.#accounts.get(accountId)?.numbers.get(peer.id) ?? null
    try {
      const self = this.#services.self()
      const request = {
        from: self && { ...self, isBusUp: this.#services.bus.isUp },
        accounts: Object.fromEntries(accountIds.map((id) => [id, numberOf(id)])),
        observed: this.#looks % LOOKS_PER_OBSERVATION === 0,
        doubted: this.#doubtedOf(peer, accountIds),
      }
      const answer = await this.#services.readStates(peer, request)
      const { isBusUp } = answer.from
      Object.assign(this.#contact(answer.from), { confirmedAt: askedAt, isReachable: true, isBusUp })
      this.#adopt(answer, askedAt)
      return true
    } catch (error) {
      this.#contact(peer).isReachable = false
      this.#services.logger.debug({ node: peer.id, err: error }, 'a node did not tell its states')
      return false
    }
  }

  /** What is to be told again: a doubt is taken back by a newer status only. */
  #doubtedOf(peer: PeerNode, accountIds: readonly string[]): string[] {
    const { doubted } = this.#contact(peer)
    const asked = new Set(accountIds)
    const sessions: string[] = []
    for (const instanceId of doubted) {
      const entry = this.#entries.get(instanceId)
      if (!entry?.isDoubted) doubted.delete(instanceId)
      else if (asked.has(entry.told.instance.accountId)) sessions.push(instanceId)
    }
    return sessions.slice(0, DOUBTS_PER_READING)
  }

  #adopt({ from, accounts }: StatesAnswer, askedAt: number): void {
    for (const [accountId, { number, told, passings = [], isCut, observed = {} }] of Object.entries(accounts)) {
      const account = this.#accounts.get(accountId)
      if (!account || this.#isBuried(from)) continue
      const known = account.numbers.get(from.id)
      if (isCut || (known === undefined && number > 0 && !account.opening)) void this.#readingRows.ask([accountId])
      for (const { tick, number: passed } of passings) if (known === undefined || passed > known) this.#pass(tick)
      if (told) {
        for (const session of told) this.#take(from, session, askedAt, known)
        this.#endMissing(account, from, new Set(told.map(({ instance }) => instance.id)), askedAt)
      }
      for (const [instanceId, at] of Object.entries(observed)) this.#observe(instanceId, from, new Date(at))
      if (known === undefined || number > known) account.numbers.set(from.id, number)
    }
  }

  /** The link was heard from, without any change. */
  #observe(instanceId: string, node: NodeRef, observedAt: Date): void {
    const entry = this.#entries.get(instanceId)
    if (!entry || !isSame(entry.node, node)) return
    const { status } = entry.told
    if (status.observedAt && status.observedAt < observedAt) {
      entry.told = { ...entry.told, status: { ...status, observedAt } }
    }
  }

  // Ends of sessions that nobody tells of.

  /** A node's whole truth does not have them any more. */
  #endMissing(account: Account, node: NodeRef, present: ReadonlySet<string>, askedAt: number): void {
    for (const instanceId of account.instanceIds) {
      const entry = this.#entries.get(instanceId)
      if (entry && isSame(entry.node, node) && !present.has(instanceId) && entry.heardAt < askedAt)
        this.#end(instanceId)
    }
  }

  #bury(node: NodeRef): void {
    this.#buried.add(keyOf(node))
    for (const oldest of this.#buried) {
      if (this.#buried.size <= MAX_BURIED) break
      this.#buried.delete(oldest)
    }
    for (const [instanceId, entry] of this.#entries) if (isSame(entry.node, node)) this.#end(instanceId)
    const contact = this.#contacts.get(node.id)
    if (contact && isSame(contact.node, node)) this.#contacts.delete(node.id)
    if (!this.#services.peers.list().some(({ id }) => id === node.id)) {
      for (const { numbers } of this.#accounts.values()) numbers.delete(node.id)
    }
    // It may have done something last, and told nobody.
    void this.#readingRows.ask(this.#accounts.keys())
  }

  #isBuried(node: NodeRef): boolean {
    return this.#buried.has(keyOf(node))
  }

  /**
   * Nobody runs it for the moment: it is told as the end of its epoch, which is what nodes say that have not heard of it
   * before. What is told of it by its next owner has a higher epoch.
   */
  #end(instanceId: string, epoch?: number): void {
    const entry = this.#entries.get(instanceId)
    if (!entry) return
    const { instance, status, step } = entry.told
    const last = lastSequenceOf(epoch ?? epochOf(status.sequence))
    if (status.sequence >= last) return
    entry.isDoubted = false
    const ended = isLive(status) ? this.#movedAway(instance, status, last) : { ...status, sequence: last }
    this.#say(entry, { instance, status: ended, step: null })
    if (step && !isOutcome(step.step) && !this.#services.isHere(instanceId)) {
      this.#services.pairingSteps.publish(instanceId, { kind: 'failed', reason: reasonOf('HANDOVER') })
    }
  }

  /** Only what is paired is opened by its next owner: a pairing has to be begun anew. */
  #movedAway(instance: Instance, status: ConnectionStatus, sequence: number): ConnectionStatus {
    const isPaired = instance.pairedAt !== null && instance.loggedOutAt === null
    return isPaired ? movedAway(status, sequence) : statusAtRest(instance, this.#startedAt, sequence)
  }

  /** Says something else of a session than its owner has told last. */
  #say(entry: Entry, told: Told): void {
    const { instance } = told
    entry.told = told
    if (!this.#services.isHere(instance.id)) {
      this.#services.connectionTicks.publish(instance.accountId, { kind: 'changed', instance })
    }
  }

  /** A link is not said to be open on the word of a node that has not been heard for too long. */
  #doubtUnconfirmed(entry: Entry): void {
    const { node, told, heardAt } = entry
    if (!isLive(told.status)) return
    const contact = this.#contacts.get(node.id)
    // What it has announced itself is as good as an answer.
    if (contact && !(this.#isUnconfirmed(contact) && this.#isOld(heardAt))) return
    entry.isDoubted = true
    contact?.doubted.add(told.instance.id)
    this.#say(entry, { ...told, status: movedAway(told.status, doubtOf(told.status.sequence)) })
  }

  #isUnconfirmed({ confirmedAt }: Contact): boolean {
    return this.#isOld(confirmedAt)
  }

  #isOld(at: number): boolean {
    return this.#now() - at > DOUBT_MS
  }

  #noteDoubts(): void {
    for (const entry of this.#entries.values()) this.#doubtUnconfirmed(entry)
  }

  #noteDelay(): void {
    const isDelayed = this.isDelayed()
    if (isDelayed === this.#wasDelayed) return
    this.#wasDelayed = isDelayed
    this.#services.onDelayChange()
  }
}

const nothing = () => {}
const keyOf = ({ id, epoch }: NodeRef) => `${id} ${epoch}`
const isSame = (one: NodeRef, other: NodeRef) => one.id === other.id && one.epoch === other.epoch
const isLive = ({ state }: ConnectionStatus) => state === 'connected' || state === 'connecting'

/** A link whose node is gone, or cannot be asked. */
const movedAway = (status: ConnectionStatus, sequence: number): ConnectionStatus => ({
  ...status,
  state: 'disconnected',
  presenceStatus: 'unavailable',
  displayStatus: 'Disconnected',
  since: status.state === 'disconnected' ? status.since : new Date(),
  observedAt: null,
  reason: reasonOf('HANDOVER'),
  sequence,
})
