import { createHash } from 'node:crypto'
import { derive, seal, unseal } from './cipher.ts'
import { agree, createKeyPair, type KeyPair } from './curve.ts'
import { INTRO } from './frames.ts'

/** The protocol's name fills a hash exactly, so it is the first hash as it is. */
const PROTOCOL: Buffer = Buffer.from('Noise_XX_25519_AESGCM_SHA256'.padEnd(32, '\0'))

const NOTHING = Buffer.alloc(0)

/** A key with the number of the next message under it. */
class Cipher {
  readonly #key: Buffer
  #count = 0

  constructor(key: Buffer) {
    this.#key = key
  }

  seal(text: Uint8Array, context?: Buffer): Buffer {
    return seal(this.#key, this.#nextNonce(), text, context)
  }

  unseal(sealed: Buffer, context?: Buffer): Buffer {
    return unseal(this.#key, this.#nextNonce(), sealed, context)
  }

  #nextNonce(): Buffer {
    const nonce = Buffer.alloc(12)
    nonce.writeUInt32BE(this.#count++, 8)
    return nonce
  }
}

/** What the handshake has agreed on so far. */
class Handshake {
  #hash = PROTOCOL
  #salt = PROTOCOL
  #cipher = new Cipher(PROTOCOL)

  mixHash(data: Uint8Array): void {
    this.#hash = createHash('sha256').update(this.#hash).update(data).digest()
  }

  mixKey(secret: Buffer): void {
    const [salt, key] = this.#expand(secret)
    this.#salt = salt
    this.#cipher = new Cipher(key)
  }

  seal(text: Uint8Array): Buffer {
    const sealed = this.#cipher.seal(text, this.#hash)
    this.mixHash(sealed)
    return sealed
  }

  unseal(sealed: Buffer): Buffer {
    const text = this.#cipher.unseal(sealed, this.#hash)
    this.mixHash(sealed)
    return text
  }

  /** The client writes under the first key, the server under the second. */
  split(): { incoming: Cipher; outgoing: Cipher } {
    const [incoming, outgoing] = this.#expand(NOTHING)
    return { incoming: new Cipher(incoming), outgoing: new Cipher(outgoing) }
  }

  #expand(secret: Buffer): [Buffer, Buffer] {
    const keys = derive(secret, 64, this.#salt)
    return [keys.subarray(0, 32), keys.subarray(32)]
  }
}

export type Transport = ReturnType<Handshake['split']>

/** The server's side of a Noise XX handshake, one message at a time. */
export class NoiseResponder {
  readonly #handshake = new Handshake()
  readonly #ephemeral = createKeyPair()
  readonly #identity: KeyPair

  constructor(identity: KeyPair) {
    this.#identity = identity
    this.#handshake.mixHash(INTRO)
  }

  /** Answers a client's hello with the server's own, which carries its certificate. */
  answer(theirEphemeral: Buffer, certificate: Buffer): { ephemeral: Buffer; static: Buffer; payload: Buffer } {
    const handshake = this.#handshake
    handshake.mixHash(theirEphemeral)
    handshake.mixHash(this.#ephemeral.public)
    handshake.mixKey(agree(this.#ephemeral, theirEphemeral))
    const identity = handshake.seal(this.#identity.public)
    handshake.mixKey(agree(this.#identity, theirEphemeral))
    return { ephemeral: this.#ephemeral.public, static: identity, payload: handshake.seal(certificate) }
  }

  /** Reads who the client is and what it wants; from then on both sides use the transport. */
  finish(sealedKey: Buffer, sealedPayload: Buffer): { clientKey: Buffer; payload: Buffer; transport: Transport } {
    const clientKey = this.#handshake.unseal(sealedKey)
    this.#handshake.mixKey(agree(this.#ephemeral, clientKey))
    const payload = this.#handshake.unseal(sealedPayload)
    return { clientKey, payload, transport: this.#handshake.split() }
  }
}
