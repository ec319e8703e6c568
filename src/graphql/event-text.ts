/** The result of one event, serialised once for all readers of it. */
export class EventText {
  /** JSON in UTF-8. */
  readonly json: Buffer
  /** As an event of a stream over SSE. A text, because Node writes one in a chunk faster than bytes. */
  readonly sse: string

  constructor(json: string) {
    this.json = Buffer.from(json)
    this.sse = `event: next\ndata: ${json}\n\n`
  }
}
