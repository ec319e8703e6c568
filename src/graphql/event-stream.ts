import type { GatewayError } from '../errors.ts'
import { presentFailure } from '../failure.ts'
import type { Source } from '../source.ts'
import type { Call } from './call.ts'
import type { EventText } from './event-text.ts'
import type { Audience } from './shared-events.ts'

/** Where the texts of a stream go. */
export type Sink = {
  /** Takes a text; returns whether it takes another one before it is flushed. */
  add(text: EventText): boolean
  /** Sends what was added. Returns whether there is room for more; the stream is to be resumed when there is again. */
  flush(): boolean
  /** Called once, unless the stream was closed: it is over, for a reason if there is one. */
  end(reason: GatewayError | null): void
}

/** An open subscription as a transport reads it: each event is taken, and becomes a text, when there is room for it. */
export class EventStream {
  readonly #source: Source<object>
  readonly #audience: Pick<Audience, 'textOf' | 'leave'>
  readonly #call: Call
  readonly #whenClosed: () => void
  #isOver = false
  #reason: GatewayError | null = null
  #isBusy = false
  #hasRoom = true
  #sink: Sink | null = null

  /** @param whenClosed called once, when nothing will be read any more */
  constructor(
    source: Source<object>,
    audience: Pick<Audience, 'textOf' | 'leave'>,
    call: Call,
    whenClosed: () => void,
  ) {
    this.#source = source
    this.#audience = audience
    this.#call = call
    this.#whenClosed = whenClosed
  }

  /** Hands over each text from now on. */
  flow(sink: Sink): void {
    // Its token may have ended before anybody read.
    if (this.#isOver) return sink.end(this.#reason)
    this.#sink = sink
    this.#source.reader = this
    // Others may have filled the network.
    this.#flush()
    this.advance()
  }

  resume(): void {
    this.#hasRoom = true
    this.advance()
  }

  /** Ends the stream for a reason, which its reader is told. */
  end(reason: GatewayError | null): void {
    if (this.#isOver) return
    this.#reason = reason
    const sink = this.#sink
    sink?.flush()
    this.close()
    sink?.end(reason)
  }

  /** Ends the stream, because nobody reads it any more. */
  close(): void {
    if (this.#isOver) return
    this.#isOver = true
    this.#sink = null
    this.#source.close()
    this.#audience.leave()
    this.#whenClosed()
  }

  /** Takes what there is, and room for. */
  advance(): void {
    // Taking an event may bring the next one.
    if (this.#isBusy) return
    this.#isBusy = true
    try {
      while (this.#hasRoom && !this.#isOver) {
        const event = this.#source.take()
        if (!event) break
        const text = this.#audience.textOf(event, this.#call)
        if (text instanceof Promise) {
          this.#flush()
          return void this.#addLater(text)
        }
        this.#add(text)
      }
      this.#flush()
    } catch (error) {
      this.#fail(error)
    }
    this.#isBusy = false
    if (this.#source.isOver && this.#hasRoom) this.end(null)
  }

  async #addLater(text: Promise<EventText>): Promise<void> {
    try {
      this.#add(await text)
    } catch (error) {
      this.#fail(error)
    }
    this.#isBusy = false
    this.advance()
  }

  #add(text: EventText): void {
    // The token may have ended while the event was executed.
    if (this.#sink && !this.#sink.add(text)) this.#flush()
  }

  #flush(): void {
    if (this.#sink && this.#hasRoom) this.#hasRoom = this.#sink.flush()
  }

  #fail(error: unknown): void {
    const cause = (error as { originalError?: unknown }).originalError ?? error
    this.end(presentFailure(cause, this.#call.requestId, this.#call.services.logger))
  }
}
