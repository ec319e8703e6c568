import type { GatewayError } from '../errors.ts'
import { presentFailure } from '../failure.ts'
import type { Source } from '../source.ts'
import type { Call } from './call.ts'
import type { EventText } from './event-text.ts'
import type { Render } from './shared-events.ts'

/** Where the texts of a stream go. */
export type Sink = {
  /** Returns whether there is room for another text; `resume` is to be called when there is again. */
  write(text: EventText): boolean
  /** Called once, unless the stream was closed: it is over, for a reason if there is one. */
  end(reason: GatewayError | null): void
}

/** An open subscription as a transport reads it: each event is taken, and becomes a text, when there is room for it. */
export class EventStream {
  readonly #source: Source<object>
  readonly #render: Render
  readonly #call: Call
  readonly #whenClosed: () => void
  #isOver = false
  #reason: GatewayError | null = null
  #isBusy = false
  #hasRoom = true
  #sink: Sink | null = null

  /** @param whenClosed called once, when nothing will be read any more */
  constructor(source: Source<object>, render: Render, call: Call, whenClosed: () => void) {
    this.#source = source
    this.#render = render
    this.#call = call
    this.#whenClosed = whenClosed
  }

  /** Hands over each text from now on. */
  flow(sink: Sink): void {
    // Its token may have ended before anybody read.
    if (this.#isOver) return sink.end(this.#reason)
    this.#sink = sink
    this.#source.onReady = () => this.#advance()
    this.#advance()
  }

  resume(): void {
    this.#hasRoom = true
    this.#advance()
  }

  /** Ends the stream for a reason, which its reader is told. */
  end(reason: GatewayError | null): void {
    if (this.#isOver) return
    this.#reason = reason
    const sink = this.#sink
    this.close()
    sink?.end(reason)
  }

  /** Ends the stream, because nobody reads it any more. */
  close(): void {
    if (this.#isOver) return
    this.#isOver = true
    this.#sink = null
    this.#source.close()
    this.#whenClosed()
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
    if (this.#source.isOver && this.#hasRoom) this.end(null)
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
    if (this.#sink) this.#hasRoom = this.#sink.write(text)
  }

  #fail(error: unknown): void {
    const cause = (error as { originalError?: unknown }).originalError ?? error
    this.end(presentFailure(cause, this.#call.requestId, this.#call.services.logger))
  }
}
