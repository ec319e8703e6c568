import { randomInt } from 'node:crypto'
import {
  addTransactionCapability,
  type BinaryNode,
  DEFAULT_CONNECTION_CONFIG,
  initAuthCreds,
  proto,
  type SignalDataTypeMap,
  unpadRandomMax16,
} from '@whiskeysockets/baileys'
import { silentLogger } from '../silent-logger.ts'
import { createKeyPair, KEY_TYPE, type KeyPair, sign } from './curve.ts'
import { keyBundle } from './signal-keys.ts'

/** How the phone itself, which is device 0, is written to: its keys, and what it reads with them. */
export class Inbox {
  readonly #identity: KeyPair
  readonly #signedKey = createKeyPair()
  readonly #registrationId = randomInt(1, 16_380)
  readonly #rows = new Map<string, unknown>()
  readonly #repository
  #nextKey = 1
  #work: Promise<unknown> = Promise.resolve()

  constructor(identity: KeyPair) {
    this.#identity = identity
    const rows = this.#rows
    const store = {
      get: async <T extends keyof SignalDataTypeMap>(type: T, ids: string[]) => {
        const found: Record<string, SignalDataTypeMap[T]> = {}
        for (const id of ids) {
          const value = rows.get(`${type} ${id}`)
          if (value !== undefined) found[id] = structuredClone(value) as SignalDataTypeMap[T]
        }
        return found
      },
      set: async (changes: object) => {
        for (const [type, values] of Object.entries(changes))
          for (const [id, value] of Object.entries(values as object))
            if (value === null) rows.delete(`${type} ${id}`)
            else rows.set(`${type} ${id}`, value)
      },
    }
    const { makeSignalRepository, transactionOpts } = DEFAULT_CONNECTION_CONFIG
    const creds = {
      ...initAuthCreds(),
      signedIdentityKey: identity,
      signedPreKey: { keyPair: this.#signedKey, signature: this.#signature(), keyId: 1 },
      registrationId: this.#registrationId,
    }
    this.#repository = makeSignalRepository(
      { creds, keys: addTransactionCapability(store, silentLogger, transactionOpts) },
      silentLogger,
      async () => [],
    )
  }

  /** The keys with which a conversation is begun; one of them is good once. */
  bundle(): BinaryNode[] {
    const id = this.#nextKey++
    const oneTime = createKeyPair()
    this.#rows.set(`pre-key ${id}`, oneTime)
    return keyBundle({
      registrationId: this.#registrationId,
      identity: this.#identity.public,
      signed: { id: 1, value: this.#signedKey.public, signature: this.#signature() },
      oneTime: { id, value: oneTime.public },
    })
  }

  /** The text of a message by a device, or null when there is none in it. One after the other, as they came. */
  read(sender: string, type: string, ciphertext: Uint8Array): Promise<string | null> {
    const reading = this.#work.then(async () => {
      const padded = await this.#repository.decryptMessage({
        jid: sender,
        type: type === 'pkmsg' ? 'pkmsg' : 'msg',
        ciphertext,
      })
      return textOf(proto.Message.decode(unpadRandomMax16(padded)))
    })
    this.#work = reading.catch(() => {})
    return reading
  }

  #signature(): Buffer {
    return sign(this.#identity, KEY_TYPE, this.#signedKey.public)
  }
}

const textOf = (message: proto.IMessage): string | null => {
  const { conversation, extendedTextMessage, deviceSentMessage } = message
  if (deviceSentMessage?.message) return textOf(deviceSentMessage.message)
  return conversation || extendedTextMessage?.text || null
}
