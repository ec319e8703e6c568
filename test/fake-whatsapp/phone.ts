import { randomBytes } from 'node:crypto'
import type { BinaryNode, proto } from '@whiskeysockets/baileys'
import type { Connection } from './connection.ts'
import { createKeyPair } from './curve.ts'
import { type LoginFault, PlannedFault } from './faults.ts'
import { Inbox } from './inbox.ts'
import { jidOf, lidOf } from './nodes.ts'
import { pair, pairByCode, readQr } from './pairing.ts'
import * as push from './pushes.ts'
import type { Recorder } from './record.ts'
import { createSettings, type Settings } from './settings.ts'

export type BusinessProfile = {
  description?: string
  address?: string
  email?: string
  website?: string
  category?: string
}

export type PhoneOptions = {
  number: string
  /** What the owner is called; linked devices hear of it through the settings (app state). */
  name?: string
  /** A business account: its name is told at the pairing. */
  businessName?: string
  /** "android", "iphone"; "smba", "smbi" for business. */
  platform?: string
  pictureUrl?: string
  businessProfile?: BusinessProfile
  /** Whether a new device is given the settings' key and an empty history, as a real phone does. */
  welcomesDevices?: boolean
}

/** A linked device: what the server and the phone know of it. */
export type Device = {
  id: number
  jid: string
  lid: string
  noiseKey: Buffer
  /** The client's key for messages, and what else it said when it registered. */
  identity: Buffer | null
  registration: proto.ClientPayload.IDevicePairingRegistrationData | null
  isPaired: boolean
  /** One-time keys that the device has left with the server. */
  preKeys: number
  logins: number
}

/** Something for one connection, made when it is said. */
type Words = (connection: Connection) => BinaryNode

/** What a phone needs of the network that it is in. */
export type Network = {
  connections(): Iterable<Connection>
  /** The phone of a contact; somebody unknown becomes known. */
  contact(number: string): Phone
  groupMembers(group: string): Set<string>
  recorder: Recorder
}

/** A phone with its account and its linked devices. Whatever acts on connections takes a device's jid, or means all. */
export class Phone {
  readonly number: string
  readonly lid: string
  name: string | null
  businessName: string | null
  platform: string
  pictureUrl: string | null
  businessProfile: BusinessProfile | null
  welcomesDevices: boolean
  readonly identity = createKeyPair()
  readonly devices = new Map<number, Device>()
  readonly settings: Settings = createSettings()
  readonly plannedFault = new PlannedFault<LoginFault>()
  readonly muted = new Set<string>()
  readonly #network: Network
  #inbox: Inbox | null = null
  readonly #removed = new Set<number>()
  readonly #heldBack: Words[] = []
  #nextDevice = 1

  constructor(options: PhoneOptions, network: Network) {
    this.number = options.number
    // A number of its own for the same account, so that mixing the two up shows.
    this.lid = String(100_000_000_000_000n + (BigInt(options.number) % 100_000_000_000_000n))
    this.name = options.name ?? null
    this.businessName = options.businessName ?? null
    this.platform = options.platform ?? (options.businessName ? 'smba' : 'android')
    this.pictureUrl = options.pictureUrl ?? null
    this.businessProfile = options.businessProfile ?? null
    this.welcomesDevices = options.welcomesDevices ?? true
    this.#network = network
  }

  get jid(): string {
    return jidOf(this.number)
  }

  /** Made when somebody writes to the phone. */
  get inbox(): Inbox {
    return (this.#inbox ??= new Inbox(this.identity))
  }

  // What the owner does with linked devices.

  /** Scans a QR code, which has to belong to a connection that is still there. */
  async scan(qr: string): Promise<Device> {
    const { reference, noiseKey, identity, secret } = readQr(qr)
    const connection = this.#find((candidate) => candidate.isOpen && candidate.references.includes(reference))
    if (!connection) throw new Error('The QR code has expired: no open connection has shown it')
    if (!connection.clientKey.equals(noiseKey)) throw new Error('The QR code shows another key than its connection has')
    return this.#welcome(await pair(connection, this, identity, secret))
  }

  /** Types the pairing code that a client has asked for last, or asks for in a moment. */
  async enterCode(code: string): Promise<Device> {
    const find = () =>
      [...this.#network.connections()].findLast(({ isOpen, linkCode }) => isOpen && linkCode?.number === this.number)
    // A client knows its code before the server has heard of it.
    if (!find()) await this.#network.recorder.next('codeRequest', { number: this.number }, 2_000)
    const connection = find()
    if (!connection?.linkCode) throw new Error(`No client has asked for a pairing code for ${this.number}`)
    return this.#welcome(await pairByCode(connection, this, connection.linkCode, code))
  }

  /** Removes a linked device, or all. */
  unlink(jid?: string): void {
    for (const device of this.devices.values()) {
      if (jid !== undefined && device.jid !== jid) continue
      this.forgetDevice(device)
      for (const connection of this.#network.connections()) if (connection.device === device) connection.remove()
      this.#network.recorder.add('unlinked', { number: this.number, jid: device.jid, by: 'phone' })
    }
  }

  addDevice(noiseKey: Buffer, id = this.#nextDevice): Device {
    this.#nextDevice = Math.max(this.#nextDevice, id + 1)
    const device: Device = {
      id,
      jid: jidOf(this.number, id),
      lid: lidOf(this.lid, id),
      noiseKey,
      identity: null,
      registration: null,
      isPaired: false,
      preKeys: 0,
      logins: 0,
    }
    this.devices.set(id, device)
    return device
  }

  forgetDevice(device: Device): void {
    this.devices.delete(device.id)
    this.#removed.add(device.id)
  }

  /** Whether this device was removed: it does not come back. */
  hasRemoved(id: number): boolean {
    return this.#removed.has(id)
  }

  // What its devices are told; when none is connected, the next one that comes is, except of calls.

  /** Changes the owner's name in the settings, and tells the devices to look; those that lack the key are given it. */
  async rename(name: string): Promise<void> {
    this.name = name
    const version = await this.settings.setName(name)
    this.#tell(() => push.ownMessage(this, this.settings.keyShare(), { peer: true }))
    this.#tell((connection) => push.settingsChanged(connection, 'critical_block', version))
  }

  /** The owner writes a message to itself; its name goes along with it. */
  writeToSelf(text: string, name?: string): void {
    if (name !== undefined) this.name = name
    this.#tell(() => push.ownMessage(this, { conversation: text }))
  }

  /** Sets or takes away the picture. */
  changePicture(url: string | null): void {
    this.pictureUrl = url
    this.#tell((connection) => push.pictureChanged(connection, this))
  }

  /** Somebody calls; the id tells the call. */
  receiveCall({ from, video = false, id = randomId() }: { from: string; video?: boolean; id?: string }): string {
    const caller = this.#network.contact(from)
    this.#tellNow((connection) => push.callOffer(connection, caller, { id, video }))
    return id
  }

  /** A call ends without having been taken. */
  endCall({ from, id, reason = 'timeout' }: { from: string; id: string; reason?: string }): void {
    const caller = this.#network.contact(from)
    this.#tellNow((connection) => push.callEnd(connection, caller, { id, reason }))
  }

  /** Somebody writes: in private, in a group ("123@g.us") or as a status. Returns the message's id. */
  receiveText(message: { from: string; text: string; group?: string; status?: boolean; id?: string }): string {
    const sender = this.#network.contact(message.from)
    const id = message.id ?? `3EB0${randomId()}`
    const chat = message.status ? 'status@broadcast' : message.group
    if (message.group) {
      const members = this.#network.groupMembers(message.group)
      members.add(sender.number).add(this.number)
    }
    this.#tell(() => push.incomingText(sender, { id, text: message.text, chat }))
    return id
  }

  /** A contact came or went. */
  showPresence(from: string, type: 'available' | 'unavailable'): void {
    this.#tellNow(() => push.contactPresence(from, type))
  }

  /** A message of its devices was delivered to, or read by, whom it was for. */
  confirm(message: { id: string; by: string; read?: boolean }): void {
    this.#tell(() => push.confirmation(this.#network.contact(message.by), message.id, message.read ?? false))
  }

  /** Has the devices make new one-time keys, or whatever else begins with a word of the server's. */
  preKeysRunLow(left = 0): void {
    this.#tell((connection) => push.preKeysLow(connection, left))
  }

  // What goes wrong.

  /** The next logins of this phone's devices fail; those of others do not. */
  fail(fault: LoginFault, times = Number.POSITIVE_INFINITY): void {
    this.plannedFault.plan(fault, times)
  }

  /** Logins and queries go well again. */
  heal(): void {
    this.plannedFault.clear()
    this.muted.clear()
  }

  /** Leaves a kind of query, by its xmlns, without an answer. */
  mute(xmlns: string): void {
    this.muted.add(xmlns)
  }

  drop(jid?: string): void {
    for (const connection of this.live(jid)) connection.drop()
  }

  closeCleanly(jid?: string): void {
    for (const connection of this.live(jid)) connection.closeCleanly()
  }

  endStream(jid?: string): void {
    for (const connection of this.live(jid)) connection.endStream()
  }

  /** A stream error with a code, or with children (their tags), or with neither. */
  streamError({ code, children, jid }: { code?: number; children?: string[]; jid?: string } = {}): void {
    for (const connection of this.live(jid)) connection.streamError(code, push.tags(children))
  }

  /** As if the same device had been opened elsewhere. */
  replace(jid?: string): void {
    for (const connection of this.live(jid)) connection.replace()
  }

  downgrade(jid?: string): void {
    for (const connection of this.live(jid)) connection.downgrade()
  }

  hang(jid?: string): void {
    for (const connection of this.live(jid)) connection.hang()
  }

  /** Undoes `hang` and `goSilent`. */
  comeBack(jid?: string): void {
    for (const connection of this.live(jid)) connection.comeBack()
  }

  goSilent(jid?: string): void {
    for (const connection of this.live(jid)) connection.goSilent()
  }

  sendGarbage(jid?: string): void {
    for (const connection of this.live(jid)) connection.sendGarbage()
  }

  /** The connections of its devices that are logged in. A call for one that is not there is a mistake of the test. */
  live(jid?: string): Connection[] {
    const all = [...this.#network.connections()].filter(
      ({ phone, device }) => phone === this && (jid === undefined || device?.jid === jid),
    )
    if (all.length === 0) throw new Error(`No device of ${jid ?? this.number} is connected`)
    return all
  }

  get isConnected(): boolean {
    return this.#find((connection) => connection.phone === this) !== undefined
  }

  /** What can be told of it to another process. */
  toJSON(): object {
    const devices = [...this.devices.values()].map(({ id, jid, lid, preKeys, logins }) => ({
      id,
      jid,
      lid,
      preKeys,
      logins,
    }))
    return { number: this.number, lid: this.lid, jid: this.jid, name: this.name, devices }
  }

  #find(isWanted: (connection: Connection) => boolean): Connection | undefined {
    for (const connection of this.#network.connections()) if (isWanted(connection)) return connection
    return undefined
  }

  /** Says to a device that has just come what it has missed. */
  catchUp(connection: Connection): void {
    for (const words of this.#heldBack.splice(0)) {
      const node = words(connection)
      connection.send({ ...node, attrs: { ...node.attrs, offline: '1' } })
    }
  }

  #tell(words: Words): void {
    if (this.isConnected) this.#tellNow(words)
    else this.#heldBack.push(words)
  }

  #tellNow(words: Words): void {
    for (const connection of this.live()) connection.send(words(connection))
  }

  #welcome(device: Device): Device {
    this.#network.recorder.add('paired', { number: this.number, jid: device.jid })
    return device
  }
}

const randomId = (): string => randomBytes(8).toString('hex').toUpperCase()
