import { createCipheriv, createDecipheriv, createHash, randomBytes } from 'node:crypto'

/** Where a secret is kept. It is bound to this place: moved to another row or column, it cannot be read. */
export type SealedPlace = { table: string; column: string; rowId: string }

const FORMAT = 1
const KEY_ID_BYTES = 4
const NONCE_BYTES = 12
const TAG_BYTES = 16
const HEADER_BYTES = 1 + KEY_ID_BYTES

/** A sealed secret that was changed, moved, or sealed with a key that is not here. */
export class UnreadableSecret extends Error {
  constructor({ table, column, rowId }: SealedPlace, reason: string) {
    super(`The secret in ${table}.${column} of row ${rowId} cannot be read: ${reason}`)
    this.name = 'UnreadableSecret'
  }
}

/** The first bytes of a key's SHA-256, which stand before everything that it sealed. */
export const keyIdOf = (key: Buffer): Buffer => createHash('sha256').update(key).digest().subarray(0, KEY_ID_BYTES)

/** The ids of the keys that somebody has in mind, in hexadecimal; those that are left out are not known. */
export type KeyIds = { current?: string | undefined; previous?: string | undefined }

/**
 * Seals secrets at rest with AES-256-GCM: format (1 byte), key id (4), nonce (12), ciphertext, tag (16).
 * New secrets are sealed with the first key; those of the others can still be read.
 */
export class Sealer {
  readonly #current: Buffer
  readonly #previous: Buffer | null
  readonly #keys: ReadonlyMap<string, Buffer>

  constructor(current: Buffer, previous: Buffer | null) {
    this.#current = current
    this.#previous = previous
    const keys = previous ? [previous, current] : [current]
    this.#keys = new Map(keys.map((key) => [keyIdOf(key).toString('hex'), key]))
  }

  /** What everything that is sealed with the current key begins with. */
  get currentHeader(): Buffer {
    return headerOf(this.#current)
  }

  /** Whether the current key sealed it, as far as it says. */
  isCurrent(sealed: Buffer): boolean {
    return sealed.subarray(0, HEADER_BYTES).equals(this.currentHeader)
  }

  /** What everything that these keys can read begins with. */
  get headers(): Buffer[] {
    return [...this.#keys.values()].map(headerOf)
  }

  /** Whether these are its keys, each in its place. */
  hasKeys({ current, previous }: KeyIds): boolean {
    const isKey = (id: string | undefined, key: Buffer | null) =>
      id === undefined || (key !== null && keyIdOf(key).toString('hex') === id)
    return isKey(current, this.#current) && isKey(previous, this.#previous)
  }

  seal(place: SealedPlace, secret: string): Buffer {
    const nonce = randomBytes(NONCE_BYTES)
    const cipher = createCipheriv('aes-256-gcm', this.#current, nonce).setAAD(addressOf(place))
    const sealed = Buffer.concat([cipher.update(secret, 'utf8'), cipher.final()])
    return Buffer.concat([this.currentHeader, nonce, sealed, cipher.getAuthTag()])
  }

  /** @throws UnreadableSecret */
  unseal(place: SealedPlace, sealed: Buffer): string {
    if (sealed.length < HEADER_BYTES + NONCE_BYTES + TAG_BYTES || sealed[0] !== FORMAT) {
      throw new UnreadableSecret(place, 'it is not in the format of a sealed secret')
    }
    const keyId = sealed.subarray(1, HEADER_BYTES).toString('hex')
    const key = this.#keys.get(keyId)
    if (!key)
      throw new UnreadableSecret(place, `it was sealed with another key (${keyId}); set ENCRYPTION_KEY_PREVIOUS to it`)
    const body = sealed.subarray(HEADER_BYTES)
    const decipher = createDecipheriv('aes-256-gcm', key, body.subarray(0, NONCE_BYTES))
    decipher.setAAD(addressOf(place)).setAuthTag(body.subarray(-TAG_BYTES))
    try {
      return Buffer.concat([decipher.update(body.subarray(NONCE_BYTES, -TAG_BYTES)), decipher.final()]).toString('utf8')
    } catch {
      throw new UnreadableSecret(place, 'it was changed, or comes from another row')
    }
  }
}

const headerOf = (key: Buffer): Buffer => Buffer.concat([Buffer.of(FORMAT), keyIdOf(key)])

const addressOf = ({ table, column, rowId }: SealedPlace): Buffer => Buffer.from([table, column, rowId].join('\0'))
