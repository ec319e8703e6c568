import { type IncomingMessage, type OutgoingHttpHeader, type OutgoingHttpHeaders, ServerResponse } from 'node:http'

type Value = number | string | readonly string[]

/**
 * Hands its headers to Node all at once: set one by one they cost a fifth of a small answer, and stay with a stream. Until
 * then they can be set, asked for and taken back one by one; Node's methods for all or many of them know none.
 */
export class GatewayResponse<Request extends IncomingMessage = IncomingMessage> extends ServerResponse<Request> {
  /** A name, its value, the next name: the form in which Node reads them fastest. */
  #headers: (string | Value)[] = []

  /** @param name in its usual case, by which a header that is set twice is known */
  override setHeader(name: string, value: Value): this {
    const place = this.#placeOf(name)
    this.#headers[place] = name
    this.#headers[place + 1] = value
    return this
  }

  override getHeader(name: string): number | string | string[] | undefined {
    return this.#headers[this.#placeOf(name) + 1] as number | string | string[] | undefined
  }

  override hasHeader(name: string): boolean {
    return this.#placeOf(name) < this.#headers.length
  }

  override removeHeader(name: string): void {
    this.#headers.splice(this.#placeOf(name), 2)
  }

  override writeHead(status: number, message?: string, headers?: OutgoingHttpHeaders): this
  override writeHead(status: number, headers?: OutgoingHttpHeaders): this
  override writeHead(status: number, first?: string | OutgoingHttpHeaders, second?: OutgoingHttpHeaders): this {
    const [message, headers] = typeof first === 'string' ? [first, second] : [undefined, first]
    const kept = [...this.#headers]
    for (const name in headers) this.setHeader(name, headers[name] as Value)
    const all = this.#headers as OutgoingHttpHeader[]
    // For the answer that follows when Node refuses one of them.
    this.#headers = kept
    if (message === undefined) super.writeHead(status, all)
    else super.writeHead(status, message, all)
    this.#headers = []
    return this
  }

  /** Where a header stands, or would be added. Values are passed over: one of them may be called like a header. */
  #placeOf(name: string): number {
    let place = 0
    while (place < this.#headers.length && this.#headers[place] !== name) place += 2
    return place
  }
}
