import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Duplex } from 'node:stream'
import { type BinaryNode, getBinaryNodeChildren, jidDecode, proto } from '@whiskeysockets/baileys'
import { WebSocketServer } from 'ws'
import { createServerIdentity } from './certificate.ts'
import { Connection, type ConnectionEvents } from './connection.ts'
import { handleControl } from './control.ts'
import { isLoginFault, type LoginFault, type OpeningFault, PlannedFault } from './faults.ts'
import { bytesAt, descend, element, firstChild, SERVER, seconds, textElement } from './nodes.ts'
import { type Device, type Network, Phone, type PhoneOptions } from './phone.ts'
import { emptyHistory, ownMessage, tags } from './pushes.ts'
import { type Answer, answer, type Directory } from './queries.ts'
import { SocketLog, type SocketLife } from './socket-log.ts'
import { type Happenings, type Kind, type Match, Recorder } from './record.ts'

export type FakeOptions = {
  /** 0 takes a free one. */
  port?: number
  /** 'real' has new devices upload 812 one-time keys, which costs a quarter of a second each. */
  preKeys?: 'cheap' | 'real'
  /** How many QR codes a client may show before it has to come again. */
  references?: number
  /** A device that was never paired may log in; its key is remembered. For mass tests with ready-made credentials. */
  acceptUnknownDevices?: boolean
  /** What clients are told to put before their intro. */
  routingInfo?: string
}

export type Stats = {
  counts: Partial<Record<Kind, number>>
  pings: number
  /** By "xmlns/type/child". */
  queries: Record<string, number>
  /** Connections, logged in or not. */
  connections: number
  /** Logged-in devices. */
  live: number
  /** The most openings there have been at a time, from the upgrade to the login. */
  openingPeak: number
}

/**
 * WhatsApp's server and the phones of its users, on loopback: enough of both for a stock Baileys socket to pair, log in,
 * be told things, and be failed in every way that is known.
 */
export class FakeWhatsApp implements Network, Directory {
  readonly recorder = new Recorder()
  readonly #socketLog = new SocketLog()
  readonly groups = new Map<string, Set<string>>()
  readonly preKeys: 'cheap' | 'real'
  /** How long a login waits before it is answered. */
  loginDelayMs = 0
  port = 0
  readonly #options: FakeOptions
  readonly #identity = createServerIdentity()
  readonly #phones = new Map<string, Phone>()
  readonly #phonesByLid = new Map<string, Phone>()
  readonly #connections = new Set<Connection>()
  readonly #plannedFault = new PlannedFault<OpeningFault>()
  readonly #muted = new Set<string>()
  readonly #queries = new Map<string, number>()
  readonly #http: Server
  readonly #webSockets = new WebSocketServer({ noServer: true, maxPayload: 16 * 1024 * 1024 })
  readonly #sockets = new Set<Duplex>()
  readonly #timers = new Set<NodeJS.Timeout>()
  readonly #events: ConnectionEvents
  #pings = 0
  #connectionIds = 0
  #openingPeak = 0

  constructor(options: FakeOptions = {}) {
    this.#options = options
    this.preKeys = options.preKeys ?? 'cheap'
    this.#http = createServer((request, response) => void handleControl(this, request, response))
    this.#http.on('connection', (socket) => {
      this.#sockets.add(socket)
      socket.once('close', () => this.#sockets.delete(socket))
    })
    this.#http.on('upgrade', (request, socket, head) => this.#upgrade(request, socket, head))
    this.#events = {
      introduced: (connection, payload) => this.#introduced(connection, payload),
      received: (connection, node) => this.#received(connection, node),
      closed: (connection, code) => this.#closed(connection, code),
      broken: ({ phone }, { message }) => this.recorder.add('problem', { number: phone?.number ?? null, message }),
    }
  }

  /** What a client is given to find it. */
  get url(): string {
    return `ws://127.0.0.1:${this.port}/ws/chat`
  }

  /** Where its process takes orders, when it has one of its own. */
  get controlUrl(): string {
    return `http://127.0.0.1:${this.port}/control`
  }

  /** The key of its certificate, for a client that would check. */
  get rootKey(): Buffer {
    return this.#identity.root
  }

  // Its life.

  /** Listens, after the start or after `refuse`. */
  async accept(): Promise<void> {
    if (this.#http.listening) return
    this.#http.listen(this.port || (this.#options.port ?? 0), '127.0.0.1')
    await once(this.#http, 'listening')
    this.port = (this.#http.address() as AddressInfo).port
  }

  /** Stops listening on its port, for good or for a while; connections that there are live on. */
  refuse(ms?: number): void {
    if (this.#http.listening) this.#http.close()
    if (ms !== undefined) this.#after(ms, () => void this.accept())
  }

  /** The same, and all connections are torn down. */
  outage(ms?: number): void {
    this.refuse(ms)
    this.dropAll()
  }

  /** Ends all connections, timers and waits. */
  async close(): Promise<void> {
    this.recorder.close()
    for (const timer of this.#timers) clearTimeout(timer)
    const closing = [...this.#connections].map((connection) => connection.closed)
    for (const connection of this.#connections) connection.drop()
    for (const socket of this.#sockets) socket.destroy()
    this.#webSockets.close()
    await Promise.all(closing)
    if (!this.#http.listening) return
    const closed = once(this.#http, 'close')
    this.#http.close()
    await closed
  }

  // Its users.

  /** A phone with an account, made or changed. */
  phone(options: PhoneOptions): Phone {
    const known = this.#phones.get(options.number)
    if (known) {
      const { number: _, ...changes } = options
      return Object.assign(known, changes)
    }
    const phone = new Phone(options, this)
    this.#phones.set(phone.number, phone)
    this.#phonesByLid.set(phone.lid, phone)
    return phone
  }

  contact(number: string): Phone {
    return this.#phones.get(number) ?? this.phone({ number })
  }

  groupMembers(group: string): Set<string> {
    let members = this.groups.get(group)
    if (!members) this.groups.set(group, (members = new Set()))
    return members
  }

  phoneByNumber(number: string): Phone | undefined {
    return this.#phones.get(number)
  }

  phoneByJid(jid: string | undefined): Phone | undefined {
    const { user = '', server } = jidDecode(jid) ?? {}
    return server === 'lid' ? this.#phonesByLid.get(user) : this.#phones.get(user)
  }

  connections(): Iterable<Connection> {
    return this.#connections
  }

  // What goes wrong.

  /** The next openings fail, whoever's they are. */
  fail(fault: OpeningFault, times = Number.POSITIVE_INFINITY): void {
    this.#plannedFault.plan(fault, times)
  }

  /** All goes well again, for all phones. */
  heal(): void {
    this.#plannedFault.clear()
    this.#muted.clear()
    this.loginDelayMs = 0
    for (const phone of this.#phones.values()) phone.heal()
  }

  /** Leaves a kind of query, by its xmlns, without an answer. */
  mute(xmlns: string): void {
    this.#muted.add(xmlns)
  }

  /** Tears down every connection there is. */
  dropAll(): void {
    for (const connection of this.#connections) connection.drop()
  }

  // What has happened.

  next<K extends Kind>(kind: K, match?: Match<K>, patienceMs?: number): Promise<Happenings[K]> {
    return this.recorder.next(kind, match, patienceMs)
  }

  seen<K extends Kind>(kind: K, match?: Match<K>, patienceMs?: number): Promise<Happenings[K]> {
    return this.recorder.seen(kind, match, patienceMs)
  }

  all<K extends Kind>(kind: K, match?: Match<K>): Happenings[K][] {
    return this.recorder.all(kind, match)
  }

  nextLogin(number: string, patienceMs?: number): Promise<Happenings['login']> {
    return this.recorder.next('login', { number }, patienceMs)
  }

  /** The devices that are logged in now. */
  live(): { number: string; jid: string }[] {
    return [...this.#connections].flatMap(({ phone, device }) =>
      phone && device ? [{ number: phone.number, jid: device.jid }] : [],
    )
  }

  /** The sockets that there have been, logged in with a device, the oldest first. */
  sockets(): readonly SocketLife[] {
    return this.#socketLog.all()
  }

  stats(): Stats {
    return {
      counts: this.recorder.counts(),
      pings: this.#pings,
      queries: Object.fromEntries(this.#queries),
      connections: this.#connections.size,
      live: this.live().length,
      openingPeak: this.#openingPeak,
    }
  }

  codeRequested(number: string): void {
    this.recorder.add('codeRequest', { number })
  }

  unlinked(phone: Phone, device: Device): void {
    this.recorder.add('unlinked', { number: phone.number, jid: device.jid, by: 'device' })
  }

  settingsPatched(phone: Phone, device: Device, collection: string): void {
    this.recorder.add('settingsPatch', { number: phone.number, jid: device.jid, collection })
  }

  // An opening, step by step.

  #upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    const headers = Object.fromEntries(
      Object.entries(request.headers).map(([name, value]) => [name, String(value)] as const),
    )
    this.recorder.add('upgrade', { headers, path: request.url ?? '' })
    const fault = this.#plannedFault.take()
    if (fault?.kind === 'no-upgrade') return
    if (fault?.kind === 'reset') {
      socket.destroy()
      return
    }
    if (fault?.kind === 'http') {
      const lines = Object.entries({ connection: 'close', 'content-length': '0', ...fault.headers })
      socket.end(
        [`HTTP/1.1 ${fault.status} Fake`, ...lines.map(([name, value]) => `${name}: ${value}`), '', ''].join('\r\n'),
      )
      return
    }
    this.#webSockets.handleUpgrade(request, socket, head, (webSocket) => {
      const connection = new Connection(
        webSocket,
        {
          id: ++this.#connectionIds,
          node: new URL(request.url ?? '', this.controlUrl).searchParams.get('node'),
          identity: this.#identity,
          answersHello: fault?.kind !== 'no-hello',
          hasGoodCertificate: fault?.kind !== 'bad-certificate',
          loginFault: fault && isLoginFault(fault) ? fault : null,
        },
        this.#events,
      )
      this.#connections.add(connection)
      const opening = [...this.#connections].filter(({ isOpening }) => isOpening).length
      this.#openingPeak = Math.max(this.#openingPeak, opening)
    })
  }

  #introduced(connection: Connection, payload: proto.IClientPayload): void {
    const number = payload.devicePairingData ? '' : String(payload.username)
    const fault = connection.loginFault ?? this.#phones.get(number)?.plannedFault.take()
    if (fault) this.#spoil(connection, fault)
    else if (payload.devicePairingData) this.#register(connection, payload, payload.devicePairingData)
    else this.#after(this.loginDelayMs, () => this.#logIn(connection, payload, number))
  }

  #spoil(connection: Connection, fault: LoginFault): void {
    if (fault.kind === 'failure') connection.failLogin(fault.reason, fault.attributes)
    else if (fault.kind === 'stream-error') connection.streamError(fault.code, tags(fault.children))
    else if (fault.kind === 'downgrade') connection.downgrade()
    else if (fault.kind === 'garbage') connection.sendGarbage()
  }

  #register(
    connection: Connection,
    payload: proto.IClientPayload,
    data: proto.ClientPayload.IDevicePairingRegistrationData,
  ): void {
    connection.registration = data
    connection.isOpening = false
    connection.references = Array.from(
      { length: this.#options.references ?? 6 },
      (_, index) => `2@${connection.id}.${index}.${crypto.randomUUID()}`,
    )
    const { os, platformType } = proto.DeviceProps.decode(data.deviceProps ?? new Uint8Array())
    this.recorder.add('registration', { version: versionOf(payload), os: os ?? '', platformType: platformType ?? 0 })
    connection.send(
      element('iq', { from: SERVER, type: 'set', xmlns: 'md', id: connection.nextId() }, [
        element(
          'pair-device',
          {},
          connection.references.map((reference) => textElement('ref', reference)),
        ),
      ]),
    )
  }

  #logIn(connection: Connection, payload: proto.IClientPayload, number: string): void {
    if (!connection.isOpen) return
    const found = this.#findDevice(connection, number, payload.device ?? 0)
    if (!found) {
      this.recorder.add('refusedLogin', { number, device: payload.device ?? 0 })
      connection.failLogin(401)
      return
    }
    const { phone, device } = found
    this.#socketLog.opened(connection, number)
    for (const other of this.#connections) {
      if (other.device !== device) continue
      other.replace()
      this.#socketLog.replaced(other)
    }
    connection.phone = phone
    connection.device = device
    connection.isOpening = false
    device.logins += 1
    connection.send(element('success', { t: seconds(), props: '1', lid: device.lid, location: 'fake' }))
    connection.send(element('ib', { from: SERVER }, [element('offline_preview', { count: '0', message: '0' })]))
    connection.send(element('ib', { from: SERVER }, [element('offline', { count: '0' })]))
    const { routingInfo } = this.#options
    if (routingInfo)
      connection.send(
        element('ib', { from: SERVER }, [element('edge_routing', {}, [textElement('routing_info', routingInfo)])]),
      )
    this.recorder.add('login', {
      number,
      jid: device.jid,
      version: versionOf(payload),
      pushName: payload.pushName ?? null,
      routingInfo: connection.routingInfo?.toString() ?? null,
    })
    if (device.logins === 1 && phone.welcomesDevices) void this.#welcome(connection, phone)
    phone.catchUp(connection)
  }

  #findDevice(connection: Connection, number: string, id: number): { phone: Phone; device: Device } | null {
    const acceptsAll = this.#options.acceptUnknownDevices ?? false
    const phone = acceptsAll ? this.contact(number) : this.#phones.get(number)
    if (!phone) return null
    const device = phone.devices.get(id)
    if (device) return device.isPaired && device.noiseKey.equals(connection.clientKey) ? { phone, device } : null
    if (!acceptsAll || phone.hasRemoved(id)) return null
    const added = phone.addDevice(connection.clientKey, id)
    added.isPaired = true
    // It was linked before this server knew of it, and welcomed then.
    added.logins = 1
    return { phone, device: added }
  }

  /** What a phone sends a device that has come for the first time. */
  async #welcome(connection: Connection, phone: Phone): Promise<void> {
    if (phone.name !== null && phone.settings.version('critical_block') === 0) await phone.settings.setName(phone.name)
    connection.send(ownMessage(phone, phone.settings.keyShare(), { peer: true }))
    connection.send(emptyHistory(phone))
  }

  #closed(connection: Connection, code: number): void {
    this.#connections.delete(connection)
    this.#socketLog.closed(connection)
    this.recorder.add('closed', {
      number: connection.phone?.number ?? null,
      jid: connection.device?.jid ?? null,
      code,
    })
  }

  // What a client says.

  #received(connection: Connection, node: BinaryNode): void {
    const { phone, device } = connection
    if (node.tag === 'iq') this.#query(connection, node)
    else if (phone && device) this.#take(connection, node, { number: phone.number, jid: device.jid })
  }

  #query(connection: Connection, node: BinaryNode): void {
    const { phone, device } = connection
    const { xmlns = '', type = '', id, to } = node.attrs
    const child = firstChild(node)?.tag ?? null
    const name = `${xmlns}/${type}/${child ?? ''}`
    this.#queries.set(name, (this.#queries.get(name) ?? 0) + 1)
    if (xmlns === 'w:p') this.#pings += 1
    this.recorder.add('query', { number: phone?.number ?? null, jid: device?.jid ?? null, xmlns, type, child })
    if (this.#muted.has(xmlns) || phone?.muted.has(xmlns)) return
    const content = answer(node, connection, this)
    connection.send(asResult(content, { from: to ?? SERVER, id }))
  }

  #take(connection: Connection, node: BinaryNode, who: { number: string; jid: string }): void {
    const { id = '', to = '', type } = node.attrs
    const { recorder } = this
    switch (node.tag) {
      case 'presence':
        recorder.add('presence', { ...who, type: type ?? null, to: to || null, name: node.attrs.name ?? null })
        break
      case 'chatstate':
        recorder.add('chatState', { ...who, to, state: firstChild(node)?.tag ?? '' })
        break
      case 'receipt':
        recorder.add('receipt', {
          ...who,
          to,
          ids: [id, ...getBinaryNodeChildren(descend(node, 'list'), 'item').map((item) => item.attrs.id ?? '')],
          type: type ?? null,
          participant: node.attrs.participant ?? null,
          recipient: node.attrs.recipient ?? null,
        })
        break
      case 'ack':
        recorder.add('ack', { ...who, id, to, class: node.attrs.class ?? '', error: node.attrs.error ?? null })
        break
      case 'call': {
        const info = firstChild(node)
        if (info?.tag === 'reject')
          recorder.add('callRejected', {
            ...who,
            callId: info.attrs['call-id'] ?? '',
            caller: info.attrs['call-creator'] ?? '',
          })
        connection.send(element('ack', { class: 'call', id, from: to, type: info?.tag }))
        break
      }
      case 'message':
        void this.#deliver(node, who)
        connection.send(element('ack', { class: 'message', id, from: to, t: seconds() }))
        break
    }
  }

  /** Has the phone of a contact read what was sent to it. */
  async #deliver(node: BinaryNode, who: { number: string; jid: string }): Promise<void> {
    const { id = '', to = '', type = '' } = node.attrs
    const copies = getBinaryNodeChildren(descend(node, 'participants'), 'to')
    const copy = copies.find(({ attrs }) => {
      const { user, device = 0 } = jidDecode(attrs.jid) ?? {}
      return device === 0 && user === jidDecode(to)?.user
    })
    const sealed = descend(copy, 'enc')
    const reader = this.phoneByJid(copy?.attrs.jid)
    let text: string | null = null
    try {
      if (sealed && reader) text = await reader.inbox.read(who.jid, sealed.attrs.type ?? '', bytesAt(sealed))
    } catch (error) {
      this.recorder.add('problem', { number: who.number, message: `Unreadable message: ${(error as Error).message}` })
    }
    const recipients = copies.map(({ attrs }) => attrs.jid ?? '')
    this.recorder.add('message', { ...who, to, id, type, recipients, text })
  }

  #after(ms: number, work: () => void): void {
    if (ms === 0) {
      work()
      return
    }
    const timer = setTimeout(() => {
      this.#timers.delete(timer)
      work()
    }, ms)
    this.#timers.add(timer)
  }
}

export async function startFakeWhatsApp(options: FakeOptions = {}): Promise<FakeWhatsApp> {
  const fake = new FakeWhatsApp(options)
  await fake.accept()
  return fake
}

function versionOf({ userAgent }: proto.IClientPayload): string {
  const { primary, secondary, tertiary } = userAgent?.appVersion ?? {}
  return [primary, secondary, tertiary].join('.')
}

const asResult = (content: Answer, attributes: Record<string, string | undefined>): BinaryNode =>
  Array.isArray(content)
    ? element('iq', { ...attributes, type: 'result' }, content.length > 0 ? content : undefined)
    : element('iq', { ...attributes, type: 'error' }, [
        element('error', { code: String(content.code), text: content.text }),
      ])
