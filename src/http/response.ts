import { type IncomingMessage, type OutgoingHttpHeader, type OutgoingHttpHeaders, ServerResponse } from 'node:http'

type Headers = OutgoingHttpHeaders | OutgoingHttpHeader[]

/** Hands its headers to Node all at once: set one by one they cost a fifth of a small answer, and stay with a stream. */
export class GatewayResponse<Request extends IncomingMessage = IncomingMessage> extends ServerResponse<Request> {
  #headers: OutgoingHttpHeaders = {}

  /** @param name in its usual case, by which a header that is set twice is known */
  override setHeader(name: string, value: number | string | readonly string[]): this {
    this.#headers[name] = value as number | string | string[]
    return this
  }

  override writeHead(status: number, message?: string, headers?: Headers): this
  override writeHead(status: number, headers?: Headers): this
  override writeHead(status: number, headers?: unknown): this {
    const all = Object.assign(this.#headers, headers)
    this.#headers = {}
    return super.writeHead(status, all)
  }
}
