import type { ExecutionResult } from 'graphql'
import type { GatewayError } from '../errors.ts'
import { presentFailure } from '../failure.ts'
import type { Call } from './call.ts'
import { presentErrors } from './present-errors.ts'

/**
 * An open subscription as a transport reads it: one JSON text per event, executed when it is asked for. The one place
 * where an event is executed, presented and serialised.
 */
export class EventStream implements AsyncIterableIterator<string, undefined> {
  readonly #results: AsyncIterator<ExecutionResult>
  readonly #call: Call
  readonly #whenClosed: () => void
  #isOver = false
  #failure: GatewayError | null = null
  /** Ends the wait for the next event, however stuck its execution is. */
  #interrupt: (failure: GatewayError) => void = () => {}

  /** @param whenClosed called once, when nothing will be read any more */
  constructor(results: AsyncIterator<ExecutionResult>, call: Call, whenClosed: () => void) {
    this.#results = results
    this.#call = call
    this.#whenClosed = whenClosed
  }

  /** @throws GatewayError for which the stream ends */
  async next(): Promise<IteratorResult<string, undefined>> {
    try {
      const result = await this.#nextResult()
      // Looked at once more: the token may have ended while the event was executed.
      if (this.#failure) throw this.#failure
      if (!result) return await this.return()
      return { done: false, value: JSON.stringify(this.#present(result)) }
    } catch (error) {
      this.#close()
      throw presentFailure(
        (error as Error & { originalError?: unknown }).originalError ?? error,
        this.#call.requestId,
        this.#call.services.logger,
      )
    }
  }

  /** Ends the stream for a reason, which its reader is told. */
  end(reason: GatewayError): void {
    if (this.#isOver) return
    this.#failure = reason
    this.#interrupt(reason)
    this.#close()
  }

  async return(): Promise<IteratorResult<string, undefined>> {
    this.#close()
    return { done: true, value: undefined }
  }

  [Symbol.asyncIterator](): this {
    return this
  }

  #nextResult(): Promise<ExecutionResult | null> {
    if (this.#failure) throw this.#failure
    if (this.#isOver) return Promise.resolve(null)
    return new Promise((resolve, reject) => {
      this.#interrupt = reject
      this.#results.next().then(({ done, value }) => resolve(done ? null : value), reject)
    })
  }

  #present(result: ExecutionResult): ExecutionResult {
    return result.errors ? { ...result, errors: presentErrors(result, this.#call) } : result
  }

  #close(): void {
    if (this.#isOver) return
    this.#isOver = true
    this.#whenClosed()
    this.#results.return?.().catch(() => undefined)
  }
}
