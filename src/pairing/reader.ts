import type { Instance } from '../instance/queries.ts'
import type { Services } from '../services.ts'
import { Source } from '../source.ts'
import { instanceDeleted, isOutcome, PairingFeed } from './feed.ts'
import type { PairingStep } from './step.ts'

/** A step, and whose. */
export type PairingEvent = PairingStep & { instanceId: string }

/** Who watches a pairing: the steps as they come, until the outcome or the end of the instance. */
export class PairingReader extends Source<PairingEvent> {
  readonly instance: Instance
  readonly #feed: PairingFeed
  readonly #stops: readonly (() => void)[]

  constructor({ sessions, connectionTicks }: Pick<Services, 'sessions' | 'connectionTicks'>, instance: Instance) {
    super()
    this.instance = instance
    this.#feed = new PairingFeed(sessions.pairingStepOf(instance.id))
    this.#stops = [
      sessions.pairingSteps.subscribe(instance.id, (step) => this.#note(step)),
      connectionTicks.subscribe(instance.accountId, (tick) => {
        if (tick.kind === 'removed' && tick.instance.id === instance.id) this.#note(instanceDeleted)
      }),
    ]
  }

  protected override next(): PairingEvent | null {
    const step = this.#feed.take()
    if (!step) return null
    if (isOutcome(step)) this.close()
    return { ...step, instanceId: this.instance.id }
  }

  protected override stop(): void {
    for (const stop of this.#stops) stop()
  }

  #note(step: PairingStep): void {
    this.#feed.note(step)
    this.wake()
  }
}
