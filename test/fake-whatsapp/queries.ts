import { randomBytes } from 'node:crypto'
import {
  type BinaryNode,
  getAllBinaryNodeChildren,
  getBinaryNodeChildren,
  jidDecode,
  jidNormalizedUser,
} from '@whiskeysockets/baileys'
import type { Connection } from './connection.ts'
import { bytesAt, bytesOf, descend, element, firstChild, jidOf, lidOf, seconds, textElement } from './nodes.ts'
import type { Device, Phone } from './phone.ts'
import { deviceBundle } from './signal-keys.ts'

/** What answers are made from. */
export type Directory = {
  /** 'real': new devices upload 812 one-time keys; 'cheap': the server says that it has enough. */
  preKeys: 'cheap' | 'real'
  phoneByJid(jid: string | undefined): Phone | undefined
  phoneByNumber(number: string): Phone | undefined
  groups: Map<string, Set<string>>
  codeRequested(number: string): void
  unlinked(phone: Phone, device: Device): void
  settingsPatched(phone: Phone, device: Device, collection: string): void
}

type Question = { node: BinaryNode; child: BinaryNode | undefined; connection: Connection; directory: Directory }

/** What an answer contains, or why there is none. */
export type Answer = BinaryNode[] | { code: number; text: string }

const NOT_FOUND: Answer = { code: 404, text: 'item-not-found' }

/** The names by which the client's queries go, and who answers them. All others are answered with an empty result. */
const ANSWERS: Record<string, (question: Question) => Answer> = {
  encrypt: answerEncrypt,
  abt: () => [
    element('props', { protocol: '1', hash: 'fake', refresh: '86400' }, [
      element('prop', { config_code: '9666', config_value: 'false' }),
    ]),
  ],
  blocklist: () => [element('list', { matched: 'true' }, [])],
  privacy: answerPrivacy,
  'w:profile:picture': answerPicture,
  'w:biz': answerBusinessProfile,
  usync: answerUsync,
  'w:g2': answerGroups,
  'w:m': () => [element('media_conn', { auth: 'fake', ttl: '3600' }, [])],
  'w:sync:app:state': answerSettings,
  md: answerMultiDevice,
}

export const answer = (node: BinaryNode, connection: Connection, directory: Directory): Answer =>
  ANSWERS[node.attrs.xmlns ?? '']?.({ node, child: firstChild(node), connection, directory }) ?? []

function answerEncrypt({ node, child, connection: { device }, directory }: Question): Answer {
  if (node.attrs.type === 'set') {
    const keys = getBinaryNodeChildren(descend(node, 'list'), 'key')
    if (device) device.preKeys += keys.length
    return []
  }
  if (child?.tag === 'count') {
    const count = directory.preKeys === 'real' ? (device?.preKeys ?? 0) : 50
    return [element('count', { value: String(count) })]
  }
  if (child?.tag === 'digest') return [element('digest', {}, [element('hash', {}, Buffer.alloc(20))])]
  const users = getBinaryNodeChildren(child, 'user').flatMap(({ attrs: { jid } }) => {
    const bundle = bundleFor(jid, directory)
    return bundle ? [element('user', { jid }, bundle)] : []
  })
  return [element('list', {}, users)]
}

function bundleFor(jid: string | undefined, directory: Directory): BinaryNode[] | null {
  const phone = directory.phoneByJid(jid)
  const id = jidDecode(jid)?.device ?? 0
  if (!phone) return null
  if (id === 0) return phone.inbox.bundle()
  const device = phone.devices.get(id)
  return device ? deviceBundle(device) : null
}

function answerPrivacy({ node }: Question): Answer {
  if (node.attrs.type === 'set') return []
  const subjects = ['last', 'online', 'profile', 'status', 'readreceipts', 'groupadd', 'calladd']
  return [
    element(
      'privacy',
      {},
      subjects.map((name) => element('category', { name, value: 'all' })),
    ),
  ]
}

function answerPicture({ node, child, connection, directory }: Question): Answer {
  if (node.attrs.type === 'set') return [element('picture', { id: seconds() })]
  const phone = directory.phoneByJid(node.attrs.target ?? connection.phone?.jid)
  if (!phone?.pictureUrl) return NOT_FOUND
  return [element('picture', { id: '1', type: child?.attrs.type, url: phone.pictureUrl, direct_path: '/fake' })]
}

function answerBusinessProfile({ node, directory }: Question): Answer {
  const jid = descend(node, 'business_profile', 'profile')?.attrs.jid
  const profile = directory.phoneByJid(jid)?.businessProfile
  if (!profile) return [element('business_profile', { v: '244' }, [])]
  const texts = (['address', 'description', 'website', 'email'] as const).flatMap((name) => {
    const text = profile[name]
    return text === undefined ? [] : [textElement(name, text)]
  })
  const categories =
    profile.category === undefined
      ? []
      : [element('categories', {}, [element('category', { id: '1' }, Buffer.from(profile.category))])]
  return [
    element('business_profile', { v: '244' }, [
      element('profile', { jid: jidNormalizedUser(jid), tag: '1' }, [...texts, ...categories]),
    ]),
  ]
}

/** Who is on WhatsApp, with which devices. */
function answerUsync({ child: usync, directory }: Question): Answer {
  const wanted = getAllBinaryNodeChildren(descend(usync, 'query') ?? element('query')).map(({ tag }) => tag)
  const users = getBinaryNodeChildren(descend(usync, 'list'), 'user').map((user) => {
    const typed = bytesOf(descend(user, 'contact'))?.toString().replace(/\D/g, '')
    const phone = typed ? directory.phoneByNumber(typed) : directory.phoneByJid(user.attrs.jid)
    const facts = wanted.flatMap((what) => {
      if (what === 'contact') return [element('contact', { type: phone ? 'in' : 'out' })]
      if (!phone) return []
      if (what === 'lid') return [element('lid', { val: lidOf(phone.lid) })]
      if (what === 'status') return [element('status', { t: seconds() }, Buffer.alloc(0))]
      if (what === 'devices') return [element('devices', {}, [deviceList(phone)])]
      return []
    })
    return element('user', { jid: user.attrs.jid ?? jidOf(typed ?? '') }, facts)
  })
  const { context, mode, sid } = usync?.attrs ?? {}
  return [
    element('usync', { context, mode, sid, index: '0', last: 'true' }, [
      element(
        'result',
        {},
        wanted.map((what) => element(what)),
      ),
      element('list', {}, users),
    ]),
  ]
}

/** The phone itself is device 0. A device whose keys nobody knows cannot be written to. */
const deviceList = (phone: Phone): BinaryNode =>
  element('device-list', {}, [
    element('device', { id: '0' }),
    ...[...phone.devices.values()]
      .filter((device) => deviceBundle(device) !== null)
      .map(({ id }) => element('device', { id: String(id), 'key-index': String(id) })),
  ])

function answerGroups({ node, child, connection, directory }: Question): Answer {
  const describe = (group: string, members: Set<string>) =>
    element(
      'group',
      { id: group.replace('@g.us', ''), subject: `Group ${group}`, creation: '1700000000', s_t: '1700000000' },
      [...members].map((number) => element('participant', { jid: jidOf(number) })),
    )
  if (child?.tag === 'query') {
    const members = directory.groups.get(node.attrs.to ?? '')
    return members ? [describe(node.attrs.to ?? '', members)] : NOT_FOUND
  }
  if (child?.tag !== 'participating') return []
  const own = [...directory.groups].filter(([, members]) => members.has(connection.phone?.number ?? ''))
  return [
    element(
      'groups',
      {},
      own.map(([group, members]) => describe(group, members)),
    ),
  ]
}

function answerSettings({ node, connection: { phone, device }, directory }: Question): Answer {
  if (!phone || !device) return []
  const collections = getBinaryNodeChildren(descend(node, 'sync'), 'collection').map((asked) => {
    const { name = '', version } = asked.attrs
    const written = bytesOf(descend(asked, 'patch'))
    if (written) {
      phone.settings.accept(name, written)
      directory.settingsPatched(phone, device, name)
    }
    // Whoever has just written knows its own patch.
    const patches = written ? [] : phone.settings.patchesSince(name, Number(version ?? 0))
    return element(
      'collection',
      { name, version: String(phone.settings.version(name)), type: 'result' },
      patches.length === 0
        ? undefined
        : [
            element(
              'patches',
              {},
              patches.map((patch) => element('patch', {}, patch)),
            ),
          ],
    )
  })
  return [element('sync', {}, collections)]
}

function answerMultiDevice({ child, connection, directory }: Question): Answer {
  if (child?.tag === 'remove-companion-device') {
    const { phone, device } = connection
    if (phone && device) {
      phone.forgetDevice(device)
      directory.unlinked(phone, device)
      // After the answer.
      setImmediate(() => connection.remove())
    }
    return []
  }
  if (child?.tag !== 'link_code_companion_reg') return []
  if (child.attrs.stage === 'companion_hello') {
    const number = jidDecode(child.attrs.jid)?.user ?? ''
    const reference = randomBytes(16)
    connection.linkCode = {
      number,
      reference,
      wrappedKey: bytesAt(child, 'link_code_pairing_wrapped_companion_ephemeral_pub'),
      finish: () => {},
    }
    directory.codeRequested(number)
    return [
      element('link_code_companion_reg', { stage: 'companion_hello' }, [
        element('link_code_pairing_ref', {}, reference),
      ]),
    ]
  }
  connection.linkCode?.finish(
    bytesAt(child, 'link_code_pairing_wrapped_key_bundle'),
    bytesAt(child, 'companion_identity_public'),
  )
  return []
}
