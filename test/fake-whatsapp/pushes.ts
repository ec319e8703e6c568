import { randomBytes } from 'node:crypto'
import { deflateSync } from 'node:zlib'
import { type BinaryNode, proto } from '@whiskeysockets/baileys'
import type { Connection } from './connection.ts'
import { element, lidOf, SERVER, seconds } from './nodes.ts'
import type { Phone } from './phone.ts'

// What the server says unasked. Messages travel in <plaintext>, which Baileys reads without Signal.

const encodeMessage = (message: proto.IMessage): BinaryNode =>
  element('plaintext', {}, Buffer.from(proto.Message.encode(proto.Message.fromObject(message)).finish()))

export const tags = (names: string[] = []): BinaryNode[] => names.map((name) => element(name))

/** A message that the phone has sent, as its devices hear of it. `peer`: meant for the device and not for a person. */
export const ownMessage = (phone: Phone, message: proto.IMessage, { peer = false } = {}): BinaryNode =>
  element(
    'message',
    {
      from: phone.jid,
      id: randomBytes(10).toString('hex').toUpperCase(),
      t: seconds(),
      type: 'text',
      notify: peer ? undefined : (phone.name ?? undefined),
      category: peer ? 'peer' : undefined,
    },
    [encodeMessage(message)],
  )

/** Tells a new device that there is no history. It holds back all messages until it is told, or for 20 s. */
export function emptyHistory(phone: Phone): BinaryNode {
  const syncType = proto.HistorySync.HistorySyncType.INITIAL_BOOTSTRAP
  const history = proto.HistorySync.encode({ syncType, conversations: [], progress: 100 }).finish()
  return ownMessage(
    phone,
    {
      protocolMessage: {
        type: proto.Message.ProtocolMessage.Type.HISTORY_SYNC_NOTIFICATION,
        historySyncNotification: {
          syncType: proto.Message.HistorySyncType.INITIAL_BOOTSTRAP,
          initialHistBootstrapInlinePayload: deflateSync(history),
          chunkOrder: 1,
          progress: 100,
        },
      },
    },
    { peer: true },
  )
}

const notification = (connection: Connection, type: string, from: string, content: BinaryNode[]): BinaryNode =>
  element('notification', { from, type, id: connection.nextId(), t: seconds() }, content)

export const settingsChanged = (connection: Connection, collection: string, version: number): BinaryNode =>
  notification(connection, 'server_sync', SERVER, [
    element('collection', { name: collection, version: String(version) }),
  ])

export const pictureChanged = (connection: Connection, phone: Phone): BinaryNode =>
  notification(connection, 'picture', phone.jid, [
    phone.pictureUrl === null ? element('delete') : element('set', { id: seconds(), jid: phone.jid }),
  ])

export const preKeysLow = (connection: Connection, left: number): BinaryNode =>
  notification(connection, 'encrypt', SERVER, [element('count', { value: String(left) })])

const call = (connection: Connection, caller: Phone, info: BinaryNode): BinaryNode =>
  element('call', { from: caller.jid, id: connection.nextId(), t: seconds() }, [info])

export const callOffer = (
  connection: Connection,
  caller: Phone,
  { id, video }: { id: string; video: boolean },
): BinaryNode =>
  call(
    connection,
    caller,
    element('offer', { 'call-id': id, 'call-creator': caller.jid, caller_pn: caller.jid }, [
      element('audio', { enc: 'opus', rate: '16000' }),
      ...(video ? [element('video')] : []),
    ]),
  )

export const callEnd = (
  connection: Connection,
  caller: Phone,
  { id, reason }: { id: string; reason: string },
): BinaryNode => call(connection, caller, element('terminate', { 'call-id': id, 'call-creator': caller.jid, reason }))

/** A text by a contact; `chat` is a group or the statuses, nothing is a private chat. */
export const incomingText = (sender: Phone, message: { id: string; text: string; chat?: string }): BinaryNode =>
  element(
    'message',
    {
      from: message.chat ?? sender.jid,
      participant: message.chat ? sender.jid : undefined,
      participant_lid: message.chat ? lidOf(sender.lid) : undefined,
      sender_lid: message.chat ? undefined : lidOf(sender.lid),
      id: message.id,
      t: seconds(),
      type: 'text',
      notify: sender.name ?? undefined,
    },
    [encodeMessage({ conversation: message.text })],
  )

export const contactPresence = (from: string, type: 'available' | 'unavailable'): BinaryNode =>
  element('presence', { from: `${from}@${SERVER}`, type: type === 'unavailable' ? type : undefined })

export const confirmation = (by: Phone, id: string, isRead: boolean): BinaryNode =>
  element('receipt', { from: by.jid, id, t: seconds(), type: isRead ? 'read' : undefined })
