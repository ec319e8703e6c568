/** Most bytes of a UTF-16 unit in UTF-8. */
const MAX_BYTES = 3
const NOT_ASCII = /[^\0-\x7f]/

/**
 * A body put together from bytes that are kept and texts that are new each time. To join texts and encode them as one
 * costs several times as much: Node encodes UTF-8 a character at a time.
 */
export class Pieces {
  readonly #pieces: (Buffer | string)[] = []

  add(piece: Buffer | string): void {
    this.#pieces.push(piece)
  }

  join(): Buffer {
    let most = 0
    for (const piece of this.#pieces) most += typeof piece === 'string' ? piece.length * MAX_BYTES : piece.length
    const body = Buffer.allocUnsafe(most)
    let end = 0
    for (const piece of this.#pieces) {
      if (typeof piece !== 'string') end += piece.copy(body, end)
      else end += body.write(piece, end, NOT_ASCII.test(piece) ? 'utf8' : 'latin1')
    }
    return body.subarray(0, end)
  }
}

/** A JSON list of what `write` adds for each item. */
export function writeList<Item>(body: Pieces, items: readonly Item[], write: (item: Item) => void): void {
  body.add('[')
  for (const [index, item] of items.entries()) {
    if (index > 0) body.add(',')
    write(item)
  }
  body.add(']')
}
