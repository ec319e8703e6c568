import { reasonOf } from '../connection/reasons.ts'
import type { PairingStep } from '../pairing/step.ts'
import type { Failure } from './phase.ts'

/** How long a code for the phone can be typed: as long as WhatsApp keeps the codes to scan beside it. */
const CODE_LIFE_MS = 160_000

/** The pairing of one session: for which phone, how many codes it has shown, and the one that can be used now. */
export class Pairing {
  readonly #onStep: (step: PairingStep) => void
  #phoneNumber: string | null = null
  #qrs = 0
  #step: PairingStep | null = null

  constructor(onStep: (step: PairingStep) => void) {
    this.#onStep = onStep
  }

  /** What a running pairing offers. */
  get step(): PairingStep | null {
    return this.#step
  }

  /** The number of the phone that a code is typed on; null: codes are scanned. */
  get phoneNumber(): string | null {
    return this.#phoneNumber
  }

  /** Counts from the first code again. */
  begin(phoneNumber: string | null): void {
    this.#phoneNumber = phoneNumber
    this.#qrs = 0
  }

  /** Goes on with a code to type, and none to scan. */
  switchToPhone(phoneNumber: string): void {
    this.#phoneNumber = phoneNumber
  }

  offerQr(value: string, expiresAt: Date): void {
    this.#offer({ kind: 'qr', value, ordinal: ++this.#qrs, expiresAt })
  }

  offerCode(code: string): void {
    this.#offer({ kind: 'code', code, expiresAt: new Date(Date.now() + CODE_LIFE_MS) })
  }

  /** A code goes with the link that has shown it. */
  withdraw(): void {
    this.#step = null
  }

  succeed(numberJid: string): void {
    this.#end({ kind: 'succeeded', numberJid })
  }

  fail({ reason, whatsappCode }: Failure): void {
    this.#end({ kind: 'failed', reason: reasonOf(reason, { whatsappCode }) })
  }

  #offer(step: PairingStep): void {
    this.#step = step
    this.#onStep(step)
  }

  #end(step: PairingStep): void {
    this.#phoneNumber = null
    this.#step = null
    this.#onStep(step)
  }
}
