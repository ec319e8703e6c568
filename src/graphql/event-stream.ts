import type { GatewayError } from '../errors.ts'
import { presentFailure } from '../failure.ts'
import type { Source } from '../source.ts'
import type { Call } from './call.ts'
import type { EventText } from './event-text.ts'
import type { Render } from './shared-events.ts'

/** An open subscription as a transport reads it: each event is taken, and becomes a text, when there is room for it. */
export class EventStream {
  readonly #source: Source<object>
  readonly #render: Render
  readonly #call: Call
  readonly #whenClosed: () => void
  #isOver = false
  #failure: GatewayError | null = null
  #isBusy = false
  #hasRoom = true
  #write: (text: EventText) => boolean = () => false
  #resolve: () => void = () => {}
  #reject: (failure: GatewayError) => void = () => {}

  /** @param whenClosed called once, when nothing will be read any more */
  constructor(source: Source<object>, render: Render, call: Call, whenClosed: () => void) {
    this.#source = source
    this.#render = render
    this.#call = call
    this.#whenClosed = whenClosed
  }

  /**
   * Hands each text to `write`, which returns whether there is room for another one; when there is again, `resume` is to be
   * called. Resolves when the stream is over.
   * @throws GatewayError for which it has ended
   */
  flow(write: (text: EventText) => boolean): Promise<void> {
    this.#write = write
    return new Promise((resolve, reject) => {
      this.#resolve = resolve
      this.#reject = reject
      if (this.#failure) return reject(this.#failure)
      if (this.#isOver) return resolve()
      this.#source.onReady = () => this.#advance()
      this.#advance()
    })
  }

  resume(): void {
    this.#hasRoom = true
    this.#advance()
  }

  /** Ends the stream for a reason, which its reader is told. */
  end(reason: GatewayError): void {
    if (this.#isOver) return
    this.#failure = reason
    this.#finish()
    this.#reject(reason)
  }

  /** Ends the stream, because nobody reads it any more. */
  close(): void {
    this.#finish()
    this.#resolve()
  }

  #advance(): void {
    // Taking an event may bring the next one.
    if (this.#isBusy) return
    this.#isBusy = true
    try {
      while (this.#hasRoom && !this.#isOver) {
        const event = this.#source.take()
        if (!event) break
        const text = this.#render(event)
        if (text instanceof Promise) return void this.#deliverLater(text)
        this.#deliver(text)
      }
    } catch (error) {
      this.#fail(error)
    }
    this.#isBusy = false
    if (this.#source.isOver && this.#hasRoom && !this.#isOver) this.close()
  }

  async #deliverLater(text: Promise<EventText>): Promise<void> {
    try {
      this.#deliver(await text)
    } catch (error) {
      this.#fail(error)
    }
    this.#isBusy = false
    this.#advance()
  }

  #deliver(text: EventText): void {
    // The token may have ended while the event was executed.
    if (!this.#isOver) this.#hasRoom = this.#write(text)
  }

  #fail(error: unknown): void {
    const cause = (error as { originalError?: unknown }).originalError ?? error
    this.end(presentFailure(cause, this.#call.requestId, this.#call.services.logger))
  }

  #finish(): void {
    if (this.#isOver) return
    this.#isOver = true
    this.#source.close()
    this.#whenClosed()
  }
}
