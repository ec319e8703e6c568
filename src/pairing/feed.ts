import type { ConnectionReason } from '../connection/state.ts'
import type { PairingStep } from './step.ts'

const INSTANCE_DELETED: ConnectionReason = {
  code: 'INSTANCE_DELETED',
  message: 'The instance was deleted.',
  whatsappCode: null,
  nextStep: 'NONE',
  retryAt: null,
}

/** What ends a pairing whose instance is gone. */
export const instanceDeleted: PairingStep = { kind: 'failed', reason: INSTANCE_DELETED }

/** What one reader of a pairing has still to be told: the newest step, and nothing after the outcome. */
export class PairingFeed {
  #pending: PairingStep | null

  /** @param present the step of a running attempt */
  constructor(present: PairingStep | null) {
    this.#pending = present
  }

  note(step: PairingStep): void {
    if (!this.#pending || !isOutcome(this.#pending)) this.#pending = step
  }

  take(): PairingStep | null {
    const step = this.#pending
    // An outcome stays, so that no later attempt is told to somebody who watched this one.
    if (step && !isOutcome(step)) this.#pending = null
    return step
  }
}

export const isOutcome = ({ kind }: PairingStep): boolean => kind === 'succeeded' || kind === 'failed'
