import type { Kysely } from 'kysely'
import type { DesiredConnectionState, StopReason } from '../connection/state.ts'
import type { DB } from '../db/types.ts'
import { instanceNotFound } from '../errors.ts'
import type { Instance } from '../instance/queries.ts'
import type { Logger } from '../logger.ts'
import { SerialQueue } from '../serial.ts'
import type { AuthState } from './auth-state.ts'
import { isStillOwner, writeDesiredState, writeLoggedOut, writePaired, writeStopped } from './facts.ts'
import { NotOurs, type Owned } from './fence.ts'

const WRITE_AGAIN_MS = 1_000

type Services = {
  db: Kysely<DB>
  logger: Logger
  owned: Owned
  /** Whether the session has ended: what cannot be written then is not tried again. */
  isOver(): boolean
  /** Something that a connection is described from has changed. */
  onChange(): void
  /** A write was refused because somebody else owns the session. */
  onNotOurs(): void
}

/**
 * The row of one instance as its session knows it, and what the session writes there. What is noted is written in its
 * turn, as often as it takes; whoever notes it does not wait.
 */
export class FactsKeeper {
  readonly #services: Services
  readonly #writes = new SerialQueue()
  #instance: Instance

  constructor(services: Services, instance: Instance) {
    this.#services = services
    this.#instance = instance
  }

  get instance(): Instance {
    return this.#instance
  }

  /**
   * Writes what was asked for, at once and once.
   * @throws GatewayError INSTANCE_NOT_FOUND when the instance is gone, NotOurs
   */
  async want(desired: DesiredConnectionState): Promise<void> {
    const { db, owned } = this.#services
    const written = await writeDesiredState(db, owned, desired)
    if (!written) {
      await this.#refuseUnlessOwner()
      throw instanceNotFound()
    }
    this.#adopt(written)
  }

  /** A phone has accepted the device: the number, and the credentials beside it. */
  notePaired(auth: AuthState, onWritten?: () => void): void {
    const { db, owned } = this.#services
    this.#inTurn(async () => {
      const { numberJid } = auth
      await this.#persist(() => auth.writeCreds((sealedCreds) => writePaired(db, owned, { numberJid, sealedCreds })))
      onWritten?.()
    })
  }

  noteStopped(reason: StopReason, whatsappCode: number | null): void {
    const { db, owned } = this.#services
    this.#inTurn(() => this.#persist(() => writeStopped(db, owned, reason, whatsappCode)))
  }

  /** The row is known as logged out at once, and written when no credentials are any more. */
  noteLoggedOut(auth: AuthState | null, onWritten: () => void): void {
    const { db, owned } = this.#services
    this.#instance = {
      ...this.#instance,
      loggedOutAt: new Date(),
      stopReason: null,
      stopWhatsappCode: null,
      stoppedAt: null,
    }
    this.#inTurn(async () => {
      await auth?.discard()
      await this.#persist(() => writeLoggedOut(db, owned))
      onWritten()
    })
  }

  /** Does something after what is to be written so far. */
  afterwards(work: () => void): void {
    this.#inTurn(async () => work())
  }

  /** Resolves when everything that was noted so far is written, or has failed. */
  idle(): Promise<void> {
    return this.#writes.idle()
  }

  #inTurn(work: () => Promise<void>): void {
    this.#writes.run(work).catch((error) => this.#services.logger.error({ err: error }, 'a fact could not be written'))
  }

  /** Writes a fact, as often as it takes: a database that is away comes back. Once at least, also when the process ends. */
  async #persist(write: () => Promise<Instance | undefined>): Promise<void> {
    const { logger, isOver } = this.#services
    for (;;) {
      try {
        const written = await write()
        if (written) this.#adopt(written)
        else await this.#refuseUnlessOwner()
        return
      } catch (error) {
        if (isOver() || error instanceof NotOurs) throw error
        logger.warn({ err: error }, 'a fact about the connection could not be written yet')
        await new Promise((resolve) => setTimeout(resolve, WRITE_AGAIN_MS).unref())
      }
    }
  }

  /** @throws NotOurs when a write was without effect because somebody else owns the session */
  async #refuseUnlessOwner(): Promise<void> {
    const { db, owned, onNotOurs } = this.#services
    if ((await isStillOwner(db, owned)) !== false) return
    onNotOurs()
    throw new NotOurs()
  }

  /** The row as it is now; what a connection is described from is told when it has changed. */
  #adopt(written: Instance): void {
    const before = this.#instance
    this.#instance = written
    const isSame =
      before.desiredState === written.desiredState &&
      before.numberJid === written.numberJid &&
      before.stopReason === written.stopReason &&
      (before.loggedOutAt === null) === (written.loggedOutAt === null) &&
      (before.pairedAt === null) === (written.pairedAt === null)
    if (!isSame) this.#services.onChange()
  }
}
