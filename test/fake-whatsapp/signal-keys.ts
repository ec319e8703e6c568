import type { BinaryNode } from '@whiskeysockets/baileys'
import { KEY_TYPE } from './curve.ts'
import { bigEndian, element } from './nodes.ts'
import type { Device } from './phone.ts'

type Key = { id: number; value: Uint8Array; signature?: Uint8Array }

const keyElement = (tag: string, { id, value, signature }: Key): BinaryNode =>
  element(tag, {}, [
    element('id', {}, bigEndian(id, 3)),
    element('value', {}, value),
    ...(signature ? [element('signature', {}, signature)] : []),
  ])

/** What others are given to begin a conversation with a device. A one-time key is better, and not needed. */
export const keyBundle = (keys: {
  registrationId: number
  identity: Uint8Array
  signed: Key
  oneTime?: Key
}): BinaryNode[] => [
  element('registration', {}, bigEndian(keys.registrationId, 4)),
  element('type', {}, KEY_TYPE),
  element('identity', {}, keys.identity),
  keyElement('skey', keys.signed),
  ...(keys.oneTime ? [keyElement('key', keys.oneTime)] : []),
]

/** The bundle of a linked device, from what it said when it registered. */
export function deviceBundle({ registration }: Device): BinaryNode[] | null {
  const { eRegid, eIdent, eSkeyId, eSkeyVal, eSkeySig } = registration ?? {}
  if (!eRegid || !eIdent || !eSkeyId || !eSkeyVal || !eSkeySig) return null
  return keyBundle({
    registrationId: Buffer.from(eRegid).readUIntBE(0, eRegid.length),
    identity: eIdent,
    signed: {
      id: Buffer.from(eSkeyId).readUIntBE(0, eSkeyId.length),
      value: Buffer.from(eSkeyVal),
      signature: Buffer.from(eSkeySig),
    },
  })
}
