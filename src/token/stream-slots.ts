import { GatewayError } from '../errors.ts'

const MAX_STREAMS = 20

/** How many streams each token has open, over all transports. */
export class StreamSlots {
  readonly #open = new Map<string, number>()

  /**
   * Returns the function that gives the slot back.
   * @throws GatewayError RATE_LIMITED when the token has as many streams as it may
   */
  take(tokenId: string): () => void {
    const open = this.#open.get(tokenId) ?? 0
    if (open >= MAX_STREAMS) {
      throw new GatewayError('RATE_LIMITED', `A token may have ${MAX_STREAMS} streams at once. Close one first`)
    }
    this.#open.set(tokenId, open + 1)
    let isTaken = true
    return () => {
      if (isTaken) this.#giveBack(tokenId)
      isTaken = false
    }
  }

  #giveBack(tokenId: string): void {
    const open = (this.#open.get(tokenId) ?? 0) - 1
    if (open > 0) this.#open.set(tokenId, open)
    else this.#open.delete(tokenId)
  }
}
