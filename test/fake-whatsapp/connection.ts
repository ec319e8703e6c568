import { randomBytes } from 'node:crypto'
import { type BinaryNode, decodeBinaryNode, encodeBinaryNode, proto } from '@whiskeysockets/baileys'
import { WebSocket } from 'ws'
import type { ServerIdentity } from './certificate.ts'
import type { LoginFault } from './faults.ts'
import { FrameReader, frame } from './frames.ts'
import { NoiseResponder, type Transport } from './noise.ts'
import { element, SERVER } from './nodes.ts'
import type { LinkCode } from './pairing.ts'
import type { Device, Phone } from './phone.ts'

/** How long a client that was told to go may take to go. */
const GRACE_MS = 500
const ANSWER_MS = 3_000

export type ConnectionEvents = {
  /** The handshake is done: the client has said who it is. */
  introduced(connection: Connection, payload: proto.IClientPayload): void
  received(connection: Connection, node: BinaryNode): void
  closed(connection: Connection, code: number): void
  broken(connection: Connection, error: Error): void
}

export type ConnectionOptions = {
  id: number
  node: string | null
  identity: ServerIdentity
  answersHello: boolean
  hasGoodCertificate: boolean
  loginFault: LoginFault | null
}

/** How long a client may take to answer the server. */
const PATIENCE_MS = 10_000

/** One client's connection: from the first byte to encrypted nodes, with all the ways in which it can go wrong. */
export class Connection {
  readonly id: number
  /** Which client it is from, where the address that it was opened with says so. */
  readonly node: string | null
  readonly loginFault: LoginFault | null
  /** The client's Noise key, which tells one device from another. */
  clientKey: Buffer = Buffer.alloc(0)
  registration: proto.ClientPayload.IDevicePairingRegistrationData | null = null
  /** What its QR codes point at. */
  references: string[] = []
  linkCode: LinkCode | null = null
  phone: Phone | null = null
  device: Device | null = null
  isOpening = true
  /** Settles when the connection is gone. */
  readonly closed: Promise<void>

  readonly #webSocket: WebSocket
  readonly #options: ConnectionOptions
  readonly #events: ConnectionEvents
  readonly #reader = new FrameReader()
  readonly #noise: NoiseResponder
  readonly #waiting = new Map<string, (answer: BinaryNode) => void>()
  readonly #givingUp = new Set<(error: Error) => void>()
  #stage: 'hello' | 'finish' | 'open' | 'closed' = 'hello'
  #transport: Transport | null = null
  #isSilent = false
  #work: Promise<void> = Promise.resolve()
  #asked = 0
  #grace: NodeJS.Timeout | undefined

  constructor(webSocket: WebSocket, options: ConnectionOptions, events: ConnectionEvents) {
    this.id = options.id
    this.node = options.node
    this.loginFault = options.loginFault
    this.#webSocket = webSocket
    this.#options = options
    this.#events = events
    this.#noise = new NoiseResponder(options.identity.key)
    // Decoding is asynchronous: one after the other, or frames would overtake each other.
    webSocket.on('message', (data: Buffer) => {
      this.#work = this.#work.then(() => this.#read(data)).catch((error: Error) => this.#break(error))
    })
    // A broken connection is closed as well, and that is all there is to know.
    webSocket.on('error', () => {})
    this.closed = new Promise((resolve) => {
      webSocket.on('close', (code) => {
        this.#closed(code)
        resolve()
      })
    })
  }

  get isOpen(): boolean {
    return this.#stage === 'open'
  }

  get routingInfo(): Buffer | null {
    return this.#reader.routingInfo
  }

  send(node: BinaryNode): void {
    if (this.#isSilent || !this.#transport) return
    this.#sendRaw(frame(this.#transport.outgoing.seal(encodeBinaryNode(node))))
  }

  /** Sends a request of the server's and waits for its answer. */
  ask(node: BinaryNode): Promise<BinaryNode> {
    const id = this.nextId()
    const answer = new Promise<BinaryNode>((resolve) => this.#waiting.set(id, resolve))
    this.send({ ...node, attrs: { ...node.attrs, id } })
    return this.before(answer)
  }

  /** Waits for what the client is expected to do, as long as it is there and not longer than it may take. */
  before<T>(expected: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      const settle = (finish: () => void) => {
        clearTimeout(timer)
        this.#givingUp.delete(giveUp)
        finish()
      }
      const giveUp = (error: Error) => settle(() => reject(error))
      const timer = setTimeout(() => giveUp(new Error('The client did not answer in time')), PATIENCE_MS)
      this.#givingUp.add(giveUp)
      if (this.#stage === 'closed') giveUp(new Error('The client is gone'))
      void expected.then((value) => settle(() => resolve(value)))
    })
  }

  nextId(): string {
    return `fake-${this.id}-${++this.#asked}`
  }

  // How a connection ends, or fails to.

  /** Tears the connection down without a word (1006). */
  drop(): void {
    this.#webSocket.terminate()
  }

  /** Closes it as a WebSocket is closed, without a reason. */
  closeCleanly(): void {
    this.#webSocket.close(1000)
  }

  endStream(): void {
    this.#sendOff(element('xmlstreamend'))
  }

  /** `children` are tags; a bare code is given as an attribute. */
  streamError(code?: number, children: BinaryNode[] = []): void {
    this.#sendOff(element('stream:error', { code: code?.toString() }, children))
  }

  /** The same device was opened elsewhere. */
  replace(): void {
    this.streamError(undefined, [element('conflict', { type: 'replaced' })])
  }

  /** The device was removed from the account. */
  remove(): void {
    this.streamError(401, [element('conflict', { type: 'device_removed' })])
  }

  failLogin(reason: number, attributes: Record<string, string> = {}): void {
    this.#sendOff(element('failure', { reason: String(reason), location: 'fake', ...attributes }))
  }

  downgrade(): void {
    this.#sendOff(element('ib', { from: SERVER }, [element('downgrade_webclient')]))
  }

  /** Keeps TCP, reads nothing, answers nothing, not even a close: a network that has vanished. */
  hang(): void {
    this.#isSilent = true
    this.#webSocket.pause()
  }

  /** The network is back, with all that was held up. */
  comeBack(): void {
    this.#isSilent = false
    this.#webSocket.resume()
  }

  /** Keeps TCP and reads, answers nothing more. */
  goSilent(): void {
    this.#isSilent = true
  }

  /** A frame that does not decrypt; what follows does. */
  sendGarbage(): void {
    this.#sendRaw(frame(randomBytes(64)))
  }

  #sendOff(lastWord: BinaryNode): void {
    this.send(lastWord)
    // Closing at once would overtake the last word, which clients decode asynchronously; they go by themselves.
    this.#grace ??= setTimeout(() => {
      this.#webSocket.close()
      // A client that is suspended does not answer, and is cut off.
      this.#grace = setTimeout(() => this.drop(), ANSWER_MS)
    }, GRACE_MS)
  }

  #sendRaw(bytes: Buffer): void {
    if (this.#webSocket.readyState === WebSocket.OPEN) this.#webSocket.send(bytes)
  }

  async #read(data: Buffer): Promise<void> {
    for (const payload of this.#reader.read(data)) await this.#readFrame(payload)
  }

  async #readFrame(payload: Buffer): Promise<void> {
    if (this.#stage === 'closed') return
    if (this.#stage === 'hello') return this.#answerHello(payload)
    if (this.#stage === 'finish') return this.#finish(payload)
    if (!this.#transport) return
    const node = await decodeBinaryNode(this.#transport.incoming.unseal(payload))
    const { id = '', type } = node.attrs
    const resolve = type === 'result' || type === 'error' ? this.#waiting.get(id) : undefined
    this.#waiting.delete(id)
    if (resolve) resolve(node)
    else this.#events.received(this, node)
  }

  #answerHello(payload: Buffer): void {
    if (!this.#options.answersHello) return
    const { clientHello } = proto.HandshakeMessage.decode(payload)
    const { certificate, badCertificate } = this.#options.identity
    const serverHello = this.#noise.answer(
      Buffer.from(clientHello?.ephemeral ?? []),
      this.#options.hasGoodCertificate ? certificate : badCertificate,
    )
    this.#stage = 'finish'
    this.#sendRaw(frame(proto.HandshakeMessage.encode({ serverHello }).finish()))
  }

  #finish(message: Buffer): void {
    const { clientFinish } = proto.HandshakeMessage.decode(message)
    const finished = this.#noise.finish(
      Buffer.from(clientFinish?.static ?? []),
      Buffer.from(clientFinish?.payload ?? []),
    )
    this.clientKey = finished.clientKey
    this.#transport = finished.transport
    this.#stage = 'open'
    this.#events.introduced(this, proto.ClientPayload.decode(finished.payload))
  }

  #break(error: Error): void {
    this.#events.broken(this, error)
    this.drop()
  }

  #closed(code: number): void {
    this.#stage = 'closed'
    clearTimeout(this.#grace)
    for (const giveUp of this.#givingUp) giveUp(new Error('The client closed before it answered'))
    this.#events.closed(this, code)
  }
}
