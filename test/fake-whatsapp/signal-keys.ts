import { randomInt } from 'node:crypto'
import type { BinaryNode } from '@whiskeysockets/baileys'
import { createKeyPair, KEY_TYPE, type KeyPair, sign } from './curve.ts'
import { bigEndian, element } from './nodes.ts'
import type { Device, Phone } from './phone.ts'

export type SignedKey = { id: number; public: Buffer; signature: Buffer }

export function createSignedKey(identity: KeyPair): SignedKey {
  const key = createKeyPair()
  return { id: 1, public: key.public, signature: sign(identity, KEY_TYPE, key.public) }
}

const keyElement = (tag: string, id: Uint8Array, value: Uint8Array, signature?: Uint8Array): BinaryNode =>
  element(tag, {}, [
    element('id', {}, id),
    element('value', {}, value),
    ...(signature ? [element('signature', {}, signature)] : []),
  ])

/** The keys with which others begin a conversation with the phone itself. */
export function phoneBundle(phone: Phone): BinaryNode[] {
  const { id, public: value, signature } = phone.signedKey
  return [
    element('registration', {}, bigEndian(phone.registrationId, 4)),
    element('type', {}, KEY_TYPE),
    element('identity', {}, phone.identity.public),
    keyElement('skey', bigEndian(id, 3), value, signature),
    // Nothing is ever decrypted here, so the private half of the one-time key may be lost.
    keyElement('key', bigEndian(randomInt(1, 0xffffff), 3), createKeyPair().public),
  ]
}

/** The same for a linked device, from what it said when it registered; without a one-time key, which is allowed. */
export function deviceBundle({ registration }: Device): BinaryNode[] | null {
  if (!registration?.eRegid || !registration.eIdent || !registration.eSkeyId || !registration.eSkeyVal) return null
  return [
    element('registration', {}, Buffer.from(registration.eRegid)),
    element('type', {}, KEY_TYPE),
    element('identity', {}, Buffer.from(registration.eIdent)),
    keyElement(
      'skey',
      Buffer.from(registration.eSkeyId),
      Buffer.from(registration.eSkeyVal),
      Buffer.from(registration.eSkeySig ?? []),
    ),
  ]
}
