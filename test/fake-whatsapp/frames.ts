/** What a client says first: "WA", the protocol's version, the dictionary's version. */
export const INTRO = Buffer.from([0x57, 0x41, 6, 3])

const LENGTH = 3

/** A payload behind its length. */
export function frame(payload: Uint8Array): Buffer {
  const framed = Buffer.alloc(LENGTH + payload.length)
  framed.writeUIntBE(payload.length, 0, LENGTH)
  framed.set(payload, LENGTH)
  return framed
}

/** Cuts a client's bytes into payloads, whatever pieces they come in. */
export class FrameReader {
  /** What the client was told to put before its intro, to reach the same server again. */
  routingInfo: Buffer | null = null
  #bytes: Buffer = Buffer.alloc(0)
  #hasIntro = false

  read(chunk: Buffer): Buffer[] {
    this.#bytes = Buffer.concat([this.#bytes, chunk])
    const payloads: Buffer[] = []
    if (!this.#hasIntro && !this.#readIntro()) return payloads
    for (;;) {
      const payload = this.#takeSized(0)
      if (!payload) return payloads
      payloads.push(payload)
    }
  }

  /** Whether the intro is complete. Before it may stand "ED", two bytes and the routing info with its length. */
  #readIntro(): boolean {
    if (this.#bytes.length < INTRO.length) return false
    if (this.#bytes.toString('latin1', 0, 2) === 'ED' && !this.routingInfo) {
      this.routingInfo = this.#takeSized(4)
      if (!this.routingInfo) return false
    }
    if (this.#bytes.length < INTRO.length) return false
    const intro = this.#bytes.subarray(0, INTRO.length)
    if (!intro.equals(INTRO)) throw new Error(`A client began with ${intro.toString('hex')} and not with the intro`)
    this.#bytes = this.#bytes.subarray(INTRO.length)
    this.#hasIntro = true
    return true
  }

  #takeSized(skip: number): Buffer | null {
    if (this.#bytes.length < skip + LENGTH) return null
    const end = skip + LENGTH + this.#bytes.readUIntBE(skip, LENGTH)
    if (this.#bytes.length < end) return null
    const payload = this.#bytes.subarray(skip + LENGTH, end)
    this.#bytes = this.#bytes.subarray(end)
    return payload
  }
}
