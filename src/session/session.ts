import { sequenceOf } from '../connection/sequence.ts'
import type { ConnectionStatus, ReasonCode } from '../connection/state.ts'
import { GatewayError, serviceUnavailable } from '../errors.ts'
import type { Instance } from '../instance/queries.ts'
import { DEFAULT_SETTINGS, settingsOf } from '../integration/queries.ts'
import type { Logger } from '../logger.ts'
import type { PairingStep } from '../pairing/step.ts'
import { SerialQueue } from '../serial.ts'
import { rememberLast } from '../remember-last.ts'
import { within } from '../within.ts'
import { AuthState } from './auth-state.ts'
import { pauseAfterReplaced, pauseBefore } from './backoff.ts'
import { Behaviour } from './behaviour.ts'
import { type Close, decide, type Verdict } from './disconnect.ts'
import { isStillOwner } from './facts.ts'
import { FactsKeeper } from './facts-keeper.ts'
import type { Link } from './link.ts'
import { type LinkServices, openLink } from './open-link.ts'
import type { OpeningGate } from './opening-gate.ts'
import { NotOurs, type Owned } from './fence.ts'
import { Pairing } from './pairing.ts'
import { describePhase, type Failure, type Phase } from './phase.ts'
import { ProfileKeeper } from './profile-keeper.ts'
import { ProxyFailed } from './proxy-route.ts'

export type SessionServices = LinkServices &
  Readonly<{
    gate: OpeningGate
    /** The connection of an instance has changed. */
    onChange(instance: Instance): void
    /** The instance was deleted behind this process' back. */
    onGone(instance: Instance): void
    onPairingStep(instanceId: string, step: PairingStep): void
    /** This node may not act for its sessions at this moment, and the session was found to be open. */
    onDoubt(): void
    /** Somebody else owns the session: a write was refused, or WhatsApp has another link. */
    onNotOurs(session: Session, sign: 'refused write' | 'other link'): void
  }>

/** A link that has held for so long is stable: what failed before it does not count any more. */
const STABLE_MS = 60_000
const LOGOUT_DEADLINE_MS = 20_000
/** A deletion that takes longer has come to nothing. */
const LONGEST_PAUSE_MS = 30_000
/** How long a stop waits for what is still to be written; requests have had their time before. */
const FLUSH_MS = 2_000

/** One opening, and the link that came of it. */
type Attempt = {
  abort: AbortController
  /** Gives the place at the gate back. */
  leave: () => void
  link: Link | null
  openedAt: number | null
  /** Resolves when the link is over, or was never opened. */
  over: Promise<void>
  settle: () => void
}

const nothing = () => {}

function createAttempt(): Attempt {
  let settle = nothing
  const over = new Promise<void>((resolve) => {
    settle = resolve
  })
  return { abort: new AbortController(), leave: nothing, link: null, openedAt: null, over, settle }
}

const NO_FAILURES = { restarts: 0, badSessions: 0, failures: 0, replacements: 0 }

/**
 * The session of one instance: at most one link at a time, what it is told, and what is to be done when it ends. The
 * phase is changed in one place, which also tells everybody. Good news is written before it is told; the end of a link is
 * told before anything is written, because a database that is slow must not keep "connected" up.
 */
export class Session {
  readonly #services: SessionServices
  readonly #logger: Logger
  readonly #owned: Owned
  readonly #commands = new SerialQueue()
  readonly #settings = new SerialQueue()
  readonly #behaviour = new Behaviour(DEFAULT_SETTINGS)
  readonly #facts: FactsKeeper
  readonly #profile: ProfileKeeper
  readonly #pairing: Pairing
  readonly #describe = rememberLast(
    (phase: Phase, facts: Instance, since: Date, observedAt: Date | null, isOnline: boolean, sequence: number) =>
      describePhase(phase, facts, { since, observedAt, isOnline, sequence }),
  )
  #phase: Phase = { kind: 'resting', failure: null }
  #since = new Date()
  #changes = 0
  #isOnline = false
  #auth: AuthState | null = null
  #attempt: Attempt | null = null
  /** The attempt before this one: its link has to be over before another is opened. */
  #before: Promise<void>
  #retryTimer: NodeJS.Timeout | undefined
  #past = NO_FAILURES
  #onLogoutOver: ((isLoggedOut: boolean) => void) | null = null
  /** Since when it is closed for a deletion, on the monotonic clock, and whether it is to come back when that fails. */
  #paused: { at: number; wasRunning: boolean } | null = null
  #isSuspended = false
  #isClosed = false

  /**
   * @param epoch with which it owns the instance
   * @param before resolves when the session before it in this process has no link any more
   */
  constructor(services: SessionServices, instance: Instance, epoch: number, before: Promise<void>) {
    this.#services = services
    this.#before = before
    this.#logger = services.logger.child({ instanceId: instance.id, instance: instance.name })
    this.#owned = { instanceId: instance.id, epoch }
    this.#facts = new FactsKeeper(
      {
        db: services.db,
        logger: this.#logger,
        owned: this.#owned,
        isOver: () => this.#isClosed,
        onChange: () => this.#changed(),
        onNotOurs: () => this.#notOurs('refused write'),
      },
      instance,
    )
    this.#profile = new ProfileKeeper(services.db, this.#owned)
    this.#pairing = new Pairing((step) => services.onPairingStep(instance.id, step))
  }

  get instance(): Instance {
    return this.#facts.instance
  }

  get epoch(): number {
    return this.#owned.epoch
  }

  /** Whether it has ended for good: the instance may have another session by now. */
  get isOver(): boolean {
    return this.#isClosed
  }

  /** Resolves when the last link that was begun has ended. */
  get linkOver(): Promise<void> {
    return this.#before
  }

  /** Whether there is a link, or one is being opened or waited for. */
  get isRunning(): boolean {
    return this.#phase.kind !== 'resting' && this.#phase.kind !== 'deleted'
  }

  /** How long nothing has come on an open link, in ms; null while there is none, or somebody waits for something. */
  get quietMs(): number | null {
    return this.#phase.kind === 'open' && !this.#onLogoutOver ? (this.#attempt?.link?.quietMs ?? null) : null
  }

  /**
   * The present connection, at once; the same object while nothing has changed. A link that has fallen silent is given up
   * here when its own watch is late.
   */
  status(): ConnectionStatus {
    const attempt = this.#attempt
    if (this.#phase.kind === 'open' && attempt && this.#services.mayRead() === false) this.#services.onDoubt()
    if (this.#phase.kind === 'open' && attempt?.link?.isSilent) {
      attempt.link.endSilent()
      this.#lost(attempt, { kind: 'silent' })
    }
    return this.#describe(
      this.#phase,
      this.instance,
      this.#since,
      this.#attempt?.link?.lastFrameAt ?? null,
      this.#isOnline,
      sequenceOf(this.#owned.epoch, this.#changes),
    )
  }

  /** What a running pairing offers. */
  get pairingStep(): PairingStep | null {
    return this.#pairing.step
  }

  // What is asked of it: one command after the other.

  /**
   * Runs a command after those before it.
   * @throws NotOurs when the session has been given up: its next owner is to be asked
   */
  #inTurn(work: () => Promise<void>): Promise<void> {
    const refuse = () => {
      if (this.#isClosed) throw new NotOurs()
    }
    return this.#commands.run(async () => {
      refuse()
      await work()
      refuse()
    })
  }

  /** Opens a link; joins one that is being opened, and does nothing when there is one. */
  connect(phoneNumber: string | null): Promise<void> {
    return this.#inTurn(async () => {
      if (this.instance.desiredState !== 'connected' || this.instance.stopReason !== null) {
        await this.#facts.want('connected')
      }
      if (this.#phase.kind === 'resting' || this.#phase.kind === 'retrying') {
        this.#pairing.begin(phoneNumber)
        this.#past = NO_FAILURES
        this.#begin({ kind: 'opening' }, { isUrgent: true })
      } else if (phoneNumber !== null && this.#pairing.phoneNumber === null) {
        this.#pairing.switchToPhone(phoneNumber)
        if (this.#phase.kind === 'awaiting pairing' && this.#attempt) await this.#offerCode(this.#attempt, phoneNumber)
      }
    })
  }

  /**
   * Drops the link of a paired instance and opens it again.
   * @throws GatewayError CONFLICT when it was never paired
   */
  reconnect(): Promise<void> {
    return this.#inTurn(async () => {
      if (!(await this.#findAuth())) {
        throw new GatewayError('CONFLICT', 'The instance was never paired, or was logged out. Use connectInstance')
      }
      await this.#facts.want('connected')
      this.#past = NO_FAILURES
      this.#endAttempt()
      this.#begin({ kind: 'opening' }, { isUrgent: true })
    })
  }

  /** Closes the link and keeps the pairing. */
  disconnect(): Promise<void> {
    return this.#inTurn(async () => {
      await this.#facts.want('disconnected')
      await this.#rest('STOPPED')
    })
  }

  /**
   * Ends the pairing at WhatsApp, for which a link is opened when there is none, and forgets it here.
   * @throws GatewayError SERVICE_UNAVAILABLE when WhatsApp could not be told; the pairing stays then
   */
  logOut(): Promise<void> {
    return this.#inTurn(async () => {
      if (await this.#findAuth()) {
        const isLoggedOut = await this.#endPairingAtWhatsapp()
        if (!isLoggedOut) throw serviceUnavailable()
      }
      await this.#facts.want('disconnected')
      await this.#rest('STOPPED')
    })
  }

  /** The settings have changed: what can act at once does. */
  applySettings(): Promise<void> {
    return this.#settings.run(async () => {
      // Read here, one time after the other, so that of two changes the later one holds.
      const [settings = DEFAULT_SETTINGS] = await settingsOf(this.#services.db, [this.instance.id])
      const wasKeptOnline = this.#behaviour.keepOnline
      this.#behaviour.settings = settings
      const socket = this.#phase.kind === 'open' ? this.#attempt?.link?.socket : undefined
      if (!socket || wasKeptOnline === settings.keepOnlineStatus) return
      await socket.sendPresenceUpdate(settings.keepOnlineStatus ? 'available' : 'unavailable')
    })
  }

  /** Brings the session back after a start of the process, without anybody having asked again. */
  restore(): void {
    this.#begin({ kind: 'opening' }, { isUrgent: false })
  }

  /** Closes the link for a deletion that may fail yet. */
  pause(): Promise<void> {
    return this.#commands.run(async () => {
      this.#paused ??= { at: performance.now(), wasRunning: this.isRunning || this.#isSuspended }
      this.#isSuspended = false
      await this.#rest('INSTANCE_DELETED')
      await this.#auth?.idle()
    })
  }

  /** Ends the link because this node may not act for it; what is to be written still is, if nobody else owns it by then. */
  suspend(): void {
    if (!this.isRunning) return
    this.#isSuspended = true
    const wasPairing = !this.#isPaired
    this.#endAttempt()
    this.#enter({ kind: 'resting', failure: this.#movedAway })
    if (wasPairing) this.#pairing.fail({ reason: 'HANDOVER', whatsappCode: null })
  }

  /** Only what is paired is opened by its next owner: of another one there is nothing to wait for. */
  get #movedAway(): Failure | null {
    return this.#isPaired ? { reason: 'HANDOVER', whatsappCode: null } : null
  }

  /** Another node could not confirm its status, and has said so: that needs a newer one to be taken back. */
  tellAgain(): void {
    if (!this.#isClosed) this.#changed()
  }

  /** This node may act for it again. */
  goOn(): void {
    if (this.#isSuspended) this.#restoreIf(true)
    this.#isSuspended = false
  }

  /** The deletion has failed. */
  resume(): void {
    const { wasRunning = false } = this.#paused ?? {}
    this.#paused = null
    this.#restoreIf(wasRunning)
  }

  /** Whoever wanted to delete it has not been heard of any more. */
  get isPausedForLong(): boolean {
    return this.#paused !== null && performance.now() - this.#paused.at > LONGEST_PAUSE_MS
  }

  #restoreIf(wasRunning: boolean): void {
    if (wasRunning && !this.isRunning && this.#isPaired) this.restore()
  }

  /** The instance is gone, with all that was kept of it; returns the last that is to be said of it. */
  markDeleted(): ConnectionStatus {
    this.#isClosed = true
    this.#endAttempt()
    this.#phase = { kind: 'deleted' }
    this.#since = new Date()
    this.#changes++
    if (this.#pairing.step) this.#pairing.fail({ reason: 'INSTANCE_DELETED', whatsappCode: null })
    void this.#auth?.discard()
    return this.status()
  }

  /** Somebody else owns the session: there must be no link of this one any more, and it writes nothing. */
  letGo(): void {
    if (this.#isClosed) return
    this.#isClosed = true
    void this.#auth?.discard()
    this.#endAttempt()
    if (this.#pairing.step) this.#pairing.fail({ reason: 'HANDOVER', whatsappCode: null })
    if (this.#phase.kind !== 'resting') this.#enter({ kind: 'resting', failure: this.#movedAway })
  }

  /**
   * Gives the session up for another node to take: closes the link, says so, and writes what is left to be written, for so
   * long at most. False when something could not be written.
   */
  leave(maxMs = FLUSH_MS): Promise<boolean> {
    this.suspend()
    return this.close(maxMs)
  }

  /** Ends the link because the process ends: nothing is said about the instance by it. False: not all could be written. */
  async close(maxMs = FLUSH_MS): Promise<boolean> {
    this.#isClosed = true
    this.#endAttempt()
    const deadline = Date.now() + maxMs
    const areFactsWritten = await within(
      maxMs,
      this.#before.then(() => this.#facts.idle()).then(() => true),
    )
    const areCredsWritten = (await this.#auth?.close(Math.max(0, deadline - Date.now()))) ?? true
    const isAllWritten = areFactsWritten === true && areCredsWritten
    if (!isAllWritten) this.#logger.error('the last changes could not be written')
    return isAllWritten
  }

  async #endPairingAtWhatsapp(): Promise<boolean> {
    const isOver = new Promise<boolean>((resolve) => {
      this.#onLogoutOver = resolve
    })
    if (this.#phase.kind === 'open' && this.#attempt) void this.#logOutLink(this.#attempt)
    else if (!this.#attempt) this.#begin({ kind: 'opening' }, { isUrgent: true })
    const isLoggedOut = await within(LOGOUT_DEADLINE_MS, isOver)
    this.#onLogoutOver = null
    if (!isLoggedOut && this.instance.desiredState === 'disconnected') await this.#rest('STOPPED')
    return isLoggedOut === true
  }

  /** WhatsApp answers, and closes the link for it; either is its word, whichever comes first. */
  async #logOutLink(attempt: Attempt): Promise<void> {
    try {
      const isDone = await attempt.link?.logOut()
      if (attempt !== this.#attempt) return
      if (isDone) {
        this.#endAttempt()
        this.#loggedOut()
      } else this.#onLogoutOver?.(false)
    } catch (error) {
      this.#logger.warn({ err: error }, 'the logout failed')
      if (attempt === this.#attempt) this.#onLogoutOver?.(false)
    }
  }

  // Opening.

  #begin(phase: Phase, { isUrgent }: { isUrgent: boolean }): void {
    if (this.#isClosed) return
    clearTimeout(this.#retryTimer)
    const attempt = createAttempt()
    const before = this.#before
    this.#before = attempt.over
    this.#attempt = attempt
    if (this.#phase.kind !== phase.kind) this.#enter(phase)
    void this.#open(attempt, before, isUrgent)
  }

  async #open(attempt: Attempt, before: Promise<void>, isUrgent: boolean): Promise<void> {
    const { signal } = attempt.abort
    await before
    const leave = await this.#services.gate.enter(signal, isUrgent)
    if (!leave) return attempt.settle()
    attempt.leave = leave
    try {
      // What the link before has left to be written is written first.
      await this.#auth?.idle()
      const auth = (await this.#findAuth()) ?? (await AuthState.create(this.#authServices, this.instance.id))
      if (!(await this.#profile.read())) {
        this.#onClose(attempt, { kind: 'broken' })
        return this.#services.onGone(this.instance)
      }
      this.#auth = auth
      attempt.link = await openLink(
        this.#services,
        {
          instanceId: this.instance.id,
          auth,
          behaviour: this.#behaviour,
          logger: this.#logger,
          signal,
          onProfile: (seen) => this.#profile.note(seen),
        },
        {
          onQr: (value, expiresAt) => this.#onQr(attempt, value, expiresAt),
          onPaired: () => this.#onPaired(attempt, auth),
          onOpen: () => this.#onOpen(attempt, auth),
          onPresence: (isOnline) => this.#onPresence(attempt, isOnline),
          onClose: (close, cause) => {
            if (cause) this.#logger.info({ cause }, 'the link has ended')
            this.#onClose(attempt, close)
          },
        },
      )
      if (!attempt.link) this.#onClose(attempt, { kind: 'broken' })
      else if (signal.aborted) attempt.link.end()
    } catch (error) {
      this.#logger.warn({ err: error }, 'the connection could not be opened')
      this.#onClose(attempt, { kind: error instanceof ProxyFailed ? 'proxy' : 'broken' })
    }
  }

  /** Whether a phone has accepted the device, as far as is known without reading. */
  get #isPaired(): boolean {
    return this.#auth?.isPaired ?? (this.instance.pairedAt !== null && this.instance.loggedOutAt === null)
  }

  /** The auth state of a pairing, in memory or as it is kept; null when there is none. */
  async #findAuth(): Promise<AuthState | null> {
    // A pairing that has ended is being forgotten.
    await this.#facts.idle()
    if (this.#auth?.isPaired) return this.#auth
    return AuthState.load(this.#authServices, this.instance.id)
  }

  get #authServices() {
    return { ...this.#services, epoch: this.#owned.epoch, onNotOurs: () => this.#notOurs('refused write') }
  }

  // What the link tells; an attempt that was ended on request is not listened to.

  #onQr(attempt: Attempt, value: string, expiresAt: Date): void {
    attempt.leave()
    if (attempt !== this.#attempt) return
    const isFirst = this.#phase.kind !== 'awaiting pairing'
    if (isFirst) this.#enter({ kind: 'awaiting pairing' })
    const { phoneNumber } = this.#pairing
    if (phoneNumber === null) this.#pairing.offerQr(value, expiresAt)
    else if (isFirst) void this.#offerCode(attempt, phoneNumber)
  }

  async #offerCode(attempt: Attempt, phoneNumber: string): Promise<void> {
    try {
      const code = await attempt.link?.requestPairingCode(phoneNumber)
      if (!code || attempt !== this.#attempt) return
      this.#pairing.offerCode(code)
    } catch (error) {
      this.#logger.warn({ err: error }, 'a pairing code could not be had')
      attempt.link?.end(error as Error)
    }
  }

  #onPaired(attempt: Attempt, auth: AuthState): void {
    if (attempt !== this.#attempt) return
    this.#facts.notePaired(auth, () => this.#pairing.succeed(this.instance.numberJid ?? ''))
  }

  #onOpen(attempt: Attempt, auth: AuthState): void {
    attempt.leave()
    if (attempt !== this.#attempt) return
    attempt.openedAt = Date.now()
    const { pairedAt, numberJid } = this.instance
    if (pairedAt === null || numberJid !== auth.numberJid) this.#facts.notePaired(auth)
    this.#enter({ kind: 'open' })
    if (this.#onLogoutOver) void this.#logOutLink(attempt)
  }

  #onPresence(attempt: Attempt, isOnline: boolean): void {
    if (attempt !== this.#attempt || isOnline === this.#isOnline) return
    this.#isOnline = isOnline
    if (this.#phase.kind === 'open') this.#changed()
  }

  #onClose(attempt: Attempt, close: Close): void {
    attempt.leave()
    attempt.settle()
    this.#lost(attempt, close)
  }

  #lost(attempt: Attempt, close: Close): void {
    if (attempt !== this.#attempt) return
    this.#attempt = null
    this.#pairing.withdraw()
    const wasStable = attempt.openedAt !== null && Date.now() - attempt.openedAt >= STABLE_MS
    const past = wasStable ? NO_FAILURES : this.#past
    const isPaired = this.#isPaired
    const verdict = decide(close, { isPaired, ...past })
    this.#past = {
      restarts: past.restarts + Number(verdict.kind === 'restart'),
      badSessions: past.badSessions + Number(close.kind === 'told' && close.code === 500),
      failures: past.failures + Number(verdict.kind === 'retry'),
      replacements: past.replacements + Number(close.kind === 'told' && close.code === 440),
    }
    // What no phone has accepted is of no use for the next attempt.
    if (!this.#auth?.isPaired) this.#auth = null
    this.#follow(verdict, isPaired)
  }

  #follow(verdict: Verdict, wasPaired: boolean): void {
    switch (verdict.kind) {
      case 'restart':
        this.#enter({ kind: 'restarting' })
        // After the pairing has been written.
        return this.#facts.afterwards(() => {
          if (this.#phase.kind === 'restarting' && !this.#attempt) {
            this.#begin({ kind: 'restarting' }, { isUrgent: true })
          }
        })
      case 'retry':
        return this.#retry(verdict, verdict.pause)
      case 'stop':
        return this.#stop(verdict, wasPaired)
      case 'log out':
        return this.#loggedOut()
      case 'contest':
        return void this.#contest(verdict)
    }
  }

  /** Another link has taken this one's place. Which of the two is right is a question of who owns the session. */
  async #contest({ reason, whatsappCode }: Failure): Promise<void> {
    this.#onLogoutOver?.(false)
    const ms = pauseAfterReplaced()
    this.#enter({ kind: 'retrying', reason, whatsappCode, retryAt: new Date(Date.now() + ms) })
    this.#retryTimer = setTimeout(() => this.#begin({ kind: 'opening' }, { isUrgent: false }), ms)
    try {
      if ((await isStillOwner(this.#services.db, this.#owned)) === false) this.#notOurs('other link')
    } catch (error) {
      // If it is replaced once more, it is not opened again; and whoever owns it can go on.
      this.#logger.warn({ err: error }, 'who owns the session could not be looked up')
    }
  }

  #notOurs(sign: Parameters<SessionServices['onNotOurs']>[1]): void {
    if (!this.#isClosed) this.#services.onNotOurs(this, sign)
  }

  #retry({ reason, whatsappCode }: Failure, pause: 'short' | 'long'): void {
    this.#onLogoutOver?.(false)
    const ms = pauseBefore(this.#past.failures - 1, pause)
    this.#enter({ kind: 'retrying', reason, whatsappCode, retryAt: new Date(Date.now() + ms) })
    this.#retryTimer = setTimeout(() => this.#begin({ kind: 'opening' }, { isUrgent: false }), ms)
  }

  #stop({ reason, whatsappCode, remember }: Extract<Verdict, { kind: 'stop' }>, wasPaired: boolean): void {
    // Refused for good, it cannot be logged out there: what is left of the pairing is here.
    if (this.#onLogoutOver && (remember === 'BANNED' || remember === 'MULTIDEVICE_MISMATCH')) return this.#loggedOut()
    this.#onLogoutOver?.(false)
    this.#enter({ kind: 'resting', failure: { reason, whatsappCode } })
    if (!wasPaired) this.#pairing.fail({ reason, whatsappCode })
    if (remember) this.#facts.noteStopped(remember, whatsappCode)
  }

  #loggedOut(): void {
    const auth = this.#auth
    this.#auth = null
    this.#facts.noteLoggedOut(auth, () => this.#onLogoutOver?.(true))
    this.#enter({ kind: 'resting', failure: null })
  }

  // The one place where the phase changes, and what is told of it.

  #enter(phase: Phase): void {
    const { state: before } = this.status()
    this.#phase = phase
    if (phase.kind !== 'open') this.#isOnline = false
    const { state, reason } = this.status()
    if (state !== before) this.#since = new Date()
    const { code, whatsappCode, retryAt } = reason ?? {}
    this.#logger.info(
      { state, reason: code, ...(whatsappCode && { whatsappCode }), ...(retryAt && { retryAt }) },
      'connection changed',
    )
    this.#changed()
  }

  #changed(): void {
    this.#changes++
    this.#services.onChange(this.instance)
  }

  // Ending.

  /** Takes leave of the present attempt, which ends on its own then. */
  #endAttempt(): void {
    clearTimeout(this.#retryTimer)
    const attempt = this.#attempt
    this.#attempt = null
    if (!this.#auth?.isPaired) this.#auth = null
    attempt?.abort.abort()
    attempt?.link?.end()
  }

  /** Ends what runs, and rests. */
  async #rest(pairingEndsWith: ReasonCode): Promise<void> {
    const wasPairing = this.#phase.kind !== 'resting' && !this.#isPaired
    this.#endAttempt()
    if (this.#phase.kind !== 'resting' || this.#phase.failure) this.#enter({ kind: 'resting', failure: null })
    if (wasPairing) this.#pairing.fail({ reason: pairingEndsWith, whatsappCode: null })
    await this.#before
  }
}
