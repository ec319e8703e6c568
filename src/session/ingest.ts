import type { WACallEvent, WAMessageKey, WASocket } from '@whiskeysockets/baileys'
import type { Logger } from '../logger.ts'
import type { Profile } from '../profile/queries.ts'
import { SerialQueue } from '../serial.ts'
import type { Behaviour } from './behaviour.ts'
import { findPictureUrl, profileInCreds } from './profile.ts'

type Ingest = {
  behaviour: Behaviour
  logger: Logger
  /** Baileys has changed its credentials. */
  onCreds(): void
  /** Something of the profile was seen, changed or not. */
  onProfile(seen: Partial<Profile>): Promise<void>
}

/** Messages that wait to be marked as read at most; what comes beyond that stays unread. */
const MAX_UNREAD = 1_000

/**
 * Takes in what a socket tells beside its connection: credentials, profile, calls, messages. Baileys does not wait for
 * its listeners: things of one kind are done one after the other, and what fails is logged and over.
 */
export function ingest(socket: WASocket, { behaviour, logger, onCreds, onProfile }: Ingest): { opened(): void } {
  const profile = new SerialQueue()
  // A call that rings does not wait for a picture.
  const ringing = new SerialQueue()
  const receipts = new SerialQueue()
  const names = new SerialQueue()
  let unread: WAMessageKey[] = []
  const work = (queue: SerialQueue, what: string, task: () => Promise<unknown>) => {
    queue.run(task).catch((error) => logger.warn({ err: error }, `${what} failed`))
  }
  const markAsRead = async () => {
    const keys = unread
    unread = []
    await socket.readMessages(keys)
  }
  const lookAtPicture = async () => {
    const pictureUrl = await findPictureUrl(socket)
    if (pictureUrl !== undefined) await onProfile({ pictureUrl })
  }
  const isMine = (jid: string | undefined): boolean => {
    const { id, lid } = socket.authState.creds.me ?? {}
    return (
      jid !== undefined && [id, lid].some((mine) => mine !== undefined && withoutDevice(mine) === withoutDevice(jid))
    )
  }

  socket.ev.on('creds.update', ({ me }) => {
    onCreds()
    if (!me?.name) return
    work(profile, 'the profile', () => onProfile(profileInCreds(socket.authState.creds)))
    // Without a name WhatsApp is not told of a presence.
    if (behaviour.keepOnline) work(profile, 'the presence', () => socket.sendPresenceUpdate('available'))
  })
  socket.ev.on('contacts.update', (contacts) => {
    if (contacts.some(({ id, imgUrl }) => imgUrl !== undefined && isMine(id)))
      work(profile, 'the picture', lookAtPicture)
  })
  socket.ev.on('call', (calls) => {
    for (const call of calls) {
      if (call.status === 'offer' && !call.offline && behaviour.settings.autoRejectCalls) {
        work(ringing, 'rejecting a call', () => reject(socket, call, behaviour.settings.callRejectMessage))
      }
    }
  })
  socket.ev.on('messages.upsert', ({ messages, type }) => {
    if (type !== 'notify' || !behaviour.settings.autoReadMessages) return
    const keys = messages.filter(({ key }) => !key.fromMe && key.remoteJid !== 'status@broadcast').map(({ key }) => key)
    if (keys.length === 0 || unread.length + keys.length > MAX_UNREAD) return
    // Those that come while others are being marked go together in the next turn.
    if (unread.length === 0) work(receipts, 'marking messages as read', markAsRead)
    unread.push(...keys)
  })

  // A new device is told its owner's name with the settings of the account, which Baileys reads along with history only.
  const askForName = async () => {
    if (profileInCreds(socket.authState.creds).name === undefined) await socket.resyncAppState(['critical_block'], true)
  }

  return {
    opened: () => {
      work(names, 'the name', askForName)
      work(profile, 'the profile', () => onProfile(profileInCreds(socket.authState.creds)))
      work(profile, 'the picture', lookAtPicture)
    },
  }
}

const withoutDevice = (jid: string): string => jid.replace(/:\d+@/, '@')

async function reject(socket: WASocket, { id, from, callerPn }: WACallEvent, message: string): Promise<void> {
  await socket.rejectCall(id, from)
  if (message !== '') await socket.sendMessage(withoutDevice(callerPn ?? from), { text: message })
}
