import { type Bytes, bytesOf } from '../http/bytes.ts'

/** The result of one event, serialised once for all readers of it. */
export class EventText {
  readonly json: Bytes
  /** As an event of a stream over SSE. */
  readonly sse: Bytes

  constructor(json: string) {
    this.json = bytesOf(json)
    this.sse = `event: next\ndata: ${this.json}\n\n` as Bytes
  }
}
