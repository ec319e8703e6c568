/** The result of one event, serialised once for all readers of it. */
export class EventText {
  /** JSON in UTF-8. */
  readonly json: Buffer
  #sse: Buffer | null = null

  constructor(json: string) {
    this.json = Buffer.from(json)
  }

  /** As an event of a stream over SSE. */
  get sse(): Buffer {
    this.#sse ??= Buffer.concat([NEXT, this.json, END])
    return this.#sse
  }
}

const NEXT = Buffer.from('event: next\ndata: ')
const END = Buffer.from('\n\n')
