import { type Bytes, bytesOf } from '../http/bytes.ts'

/** The result of one event, serialised once for all readers of it. */
export class EventText {
  readonly json: Bytes
  /** As an event of a stream over SSE. */
  readonly sse: Bytes
  /** The same as a chunk of HTTP/1.1. */
  readonly chunk: Bytes

  constructor(json: string) {
    this.json = bytesOf(json)
    this.sse = `event: next\ndata: ${this.json}\n\n` as Bytes
    this.chunk = `${this.sse.length.toString(16)}\r\n${this.sse}\r\n` as Bytes
  }
}
