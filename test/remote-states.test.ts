import { randomUUID } from 'node:crypto'
import { beforeEach, describe, expect, onTestFinished, test } from 'vitest'
import type { Bus, BusEvents } from '../src/cluster/bus.ts'
import type { NodeRef, Ownership, PeerNode } from '../src/cluster/node.ts'
import { RemoteStates } from '../src/cluster/remote-states.ts'
import type { AccountStates, Announcement, StatesRequest, Told } from '../src/cluster/wire.ts'
import { reasonOf } from '../src/connection/reasons.ts'
import type { ConnectionState, ConnectionStatus } from '../src/connection/state.ts'
import type { ConnectionTick, PassingTick } from '../src/connection/tick.ts'
import { Topics } from '../src/events.ts'
import type { Instance } from '../src/instance/queries.ts'
import type { PairingStep } from '../src/pairing/step.ts'
import { silentLogger } from './silent-logger.ts'

const EPOCH = 2 ** 32
const ACCOUNT = randomUUID()

const instanceOf = (id: string = randomUUID()): Instance => ({
  id,
  accountId: ACCOUNT,
  name: 'shop',
  createdAt: new Date(0),
  updatedAt: new Date(0),
  desiredState: 'connected',
  numberJid: null,
  pairedAt: new Date(0),
  loggedOutAt: null,
  stopReason: null,
  stopWhatsappCode: null,
  stoppedAt: null,
})

const statusOf = (state: ConnectionState, sequence: number): ConnectionStatus => ({
  state,
  desiredState: 'connected',
  numberJid: null,
  presenceStatus: 'unavailable',
  displayStatus: state,
  since: new Date(0),
  observedAt: new Date(0),
  reason: state === 'connected' ? null : reasonOf('OPENING'),
  sequence,
})

const peerOf = (epoch: number, id: string = randomUUID()): PeerNode => ({
  id,
  epoch,
  address: '127.0.0.1:1',
  isDraining: false,
  startedAt: new Date(0),
  owned: 0,
})

/** One node's view of others that exist only as what they tell. */
function createScene() {
  let now = 0
  let events: BusEvents | null = null
  let onChange: (change: { come: PeerNode[]; gone: PeerNode[] }) => void = () => {}
  const peers: PeerNode[] = []
  const truths = new Map<string, Record<string, AccountStates>>()
  const asked: { peer: string; request: StatesRequest }[] = []
  const silent = new Set<string>()
  /** Peers that cannot tell by the bus. */
  const mute = new Set<string>()
  const subscribed = new Set<string>()
  const owners: Ownership[] = []
  const database = { isAway: false }
  /** What a look at the rows finds. */
  const missed: PassingTick[] = []
  const here = new Set<string>()
  const delays: boolean[] = []
  const known = { promise: Promise.resolve() }
  const connectionTicks = new Topics<ConnectionTick>()
  const pairingSteps = new Topics<PairingStep>()
  const bus = {
    isUp: true as boolean,
    listen: (heard: BusEvents) => void (events = heard),
    publish: () => {},
    subscribe: async (accountId: string) => void subscribed.add(accountId),
    unsubscribe: (accountId: string) => void subscribed.delete(accountId),
    close: async () => {},
  } satisfies Bus
  const states = new RemoteStates({
    selfId: 'self',
    self: () => ({ id: 'self', epoch: 1 }),
    bus,
    peers: {
      list: () => peers,
      whenKnown: () => known.promise,
      onChange: (listener) => {
        onChange = listener
        return () => {}
      },
    },
    readStates: async (peer, request) => {
      asked.push({ peer: peer.id, request })
      if (silent.has(peer.id)) throw new Error('silent')
      const truth = truths.get(peer.id) ?? {}
      const accounts = Object.fromEntries(
        Object.entries(request.accounts).map(([id, known]): [string, AccountStates] => {
          const account = truth[id] ?? { number: 0, told: [] }
          return [id, known === account.number ? { number: known } : account]
        }),
      )
      return { from: { id: peer.id, epoch: peer.epoch, isBusUp: !mute.has(peer.id) }, accounts }
    },
    readOwners: async () => {
      if (database.isAway) throw new Error('away')
      return owners.map((owner) => ({ ...owner }))
    },
    findMissed: async () => {
      if (database.isAway) throw new Error('away')
      return missed
    },
    isHere: (id) => here.has(id),
    connectionTicks,
    pairingSteps,
    onDelayChange: () => delays.push(states.isDelayed()),
    logger: silentLogger,
    now: () => now,
  })
  onTestFinished(() => states.close())
  const ticks: ConnectionTick[] = []
  const steps: PairingStep[] = []
  return {
    bus,
    states,
    peers,
    asked,
    silent,
    mute,
    subscribed,
    owners,
    database,
    missed,
    here,
    delays,
    known,
    ticks,
    steps,
    connectionTicks,
    pass: (ms: number) => void (now += ms),
    join: (peer: PeerNode) => {
      peers.push(peer)
      onChange({ come: [peer], gone: [] })
      return peer
    },
    change: (change: Parameters<typeof onChange>[0]) => onChange(change),
    die: (peer: PeerNode) => {
      peers.splice(peers.indexOf(peer), 1)
      onChange({ come: [], gone: [peer] })
    },
    /** What a peer would answer. */
    holds: (peer: NodeRef, number: number, told: Told[], more: Partial<AccountStates> = {}) =>
      truths.set(peer.id, { [ACCOUNT]: { number, told, ...more } }),
    tell: (announcement: Announcement) => events?.onMessage(ACCOUNT, announcement),
    goUp: () => {
      bus.isUp = true
      events?.onUp()
    },
    goDown: () => {
      bus.isUp = false
      events?.onDown()
    },
    listen: (instanceId?: string) => {
      connectionTicks.subscribe(ACCOUNT, (tick) => ticks.push(tick))
      if (instanceId) pairingSteps.subscribe(instanceId, (step) => steps.push(step))
    },
  }
}

const settle = () => new Promise((resolve) => setImmediate(resolve))
const told = (instance: Instance, status: ConnectionStatus, step: Told['step'] = null): Told => ({
  instance,
  status,
  step,
})
const qr = (value: string): PairingStep => ({ kind: 'qr', value, ordinal: 1, expiresAt: new Date(0) })

let scene: ReturnType<typeof createScene>
let peer: PeerNode
let instance: Instance
beforeEach(() => {
  scene = createScene()
  peer = scene.join(peerOf(3))
  instance = instanceOf()
})

const announce = (number: number, sessions: Told[], from: NodeRef = peer, before = number - 1) =>
  scene.tell({ from: { id: from.id, epoch: from.epoch }, before, number, told: sessions, passings: [] })

describe('an account that is asked for', () => {
  test('is read from the peers first, and costs nothing after that while the bus is up', async () => {
    scene.holds(peer, 4, [told(instance, statusOf('connected', 3 * EPOCH + 2))])
    await scene.states.prepare(ACCOUNT)
    expect(scene.states.statusOf(instance)?.state).toBe('connected')
    expect(scene.subscribed).toContain(ACCOUNT)
    expect(scene.states.prepare(ACCOUNT)).toBeUndefined()
    expect(scene.asked).toHaveLength(1)
  })

  test('waits until this node knows of any other', async () => {
    scene.holds(peer, 4, [told(instance, statusOf('connected', 3 * EPOCH + 2))])
    const others = scene.peers.splice(0)
    let becomeKnown = () => {}
    scene.known.promise = new Promise((resolve) => (becomeKnown = resolve))
    const prepared = scene.states.prepare(ACCOUNT)
    scene.peers.push(...others)
    becomeKnown()
    await prepared
    expect(scene.states.statusOf(instance)?.state).toBe('connected')
  })

  test('is kept current by announcements, and streams are told of them', async () => {
    scene.holds(peer, 4, [told(instance, statusOf('connecting', 3 * EPOCH + 2))])
    await scene.states.prepare(ACCOUNT)
    scene.listen()
    announce(5, [told(instance, statusOf('connected', 3 * EPOCH + 3))])
    expect(scene.states.statusOf(instance)?.state).toBe('connected')
    expect(scene.ticks).toMatchObject([{ kind: 'changed', instance: { id: instance.id } }])
  })

  test('is forgotten when nobody has asked for a while, unless a stream listens', async () => {
    await scene.states.prepare(ACCOUNT)
    const stop = scene.connectionTicks.subscribe(ACCOUNT, () => {})
    scene.pass(6 * 60_000)
    await scene.states.look()
    expect(scene.subscribed).toContain(ACCOUNT)
    stop()
    await scene.states.look()
    expect(scene.subscribed).not.toContain(ACCOUNT)
  })

  test('says of an instance that nobody runs that it is moving, after everything that was told in its epoch', async () => {
    scene.owners.push({ instanceId: instance.id, epoch: 7, node: null })
    await scene.states.prepare(ACCOUNT)
    expect(scene.states.statusOf(instance)).toMatchObject({
      state: 'disconnected',
      reason: { code: 'HANDOVER' },
      sequence: 7 * EPOCH + EPOCH - 1,
    })
  })

  test('after a standstill of this process is read again before it is believed', async () => {
    await scene.states.prepare(ACCOUNT)
    scene.holds(peer, 4, [told(instance, statusOf('connected', 3 * EPOCH + 2))])
    scene.pass(30_000)
    await scene.states.prepare(ACCOUNT)
    expect(scene.states.statusOf(instance)?.state).toBe('connected')
  })
})

describe('announcements', () => {
  test('that are older than what is known change nothing', async () => {
    scene.holds(peer, 4, [told(instance, statusOf('connected', 3 * EPOCH + 5))])
    await scene.states.prepare(ACCOUNT)
    announce(4, [told(instance, statusOf('connecting', 3 * EPOCH + 9))])
    announce(5, [told(instance, statusOf('connecting', 3 * EPOCH + 4))])
    expect(scene.states.statusOf(instance)).toMatchObject({ state: 'connected', sequence: 3 * EPOCH + 5 })
  })

  test('of an owner before are passed over, whatever their number', async () => {
    const next = scene.join(peerOf(4))
    await scene.states.prepare(ACCOUNT)
    announce(1, [told(instance, statusOf('connecting', 4 * EPOCH + 1))], next)
    announce(1, [told(instance, statusOf('connected', 3 * EPOCH + 9))])
    expect(scene.states.statusOf(instance)).toMatchObject({ state: 'connecting', sequence: 4 * EPOCH + 1 })
  })

  test('that were missed are noticed by the next one, and the truth is read', async () => {
    const other = instanceOf()
    await scene.states.prepare(ACCOUNT)
    scene.holds(peer, 2, [
      told(other, statusOf('connected', 3 * EPOCH + 1)),
      told(instance, statusOf('connected', 3 * EPOCH + 1)),
    ])
    announce(2, [told(instance, statusOf('connected', 3 * EPOCH + 1))])
    await settle()
    expect(scene.states.statusOf(other)?.state).toBe('connected')
  })

  test('that were the last ones and were missed are made up for by the next look', async () => {
    await scene.states.prepare(ACCOUNT)
    scene.listen()
    scene.holds(peer, 1, [told(instance, statusOf('connected', 3 * EPOCH + 1))])
    await scene.states.look()
    expect(scene.states.statusOf(instance)?.state).toBe('connected')
    expect(scene.ticks).toHaveLength(1)
  })

  test('of comings and goings that were missed are told once', async () => {
    await scene.states.prepare(ACCOUNT)
    scene.listen()
    const passing = { number: 1, tick: { kind: 'added', instance } as const }
    scene.holds(peer, 1, [], { passings: [passing] })
    await scene.states.look()
    await scene.states.look()
    expect(scene.ticks).toEqual([passing.tick])
  })

  test('of an account that nobody asked for are passed over', () => {
    announce(1, [told(instance, statusOf('connected', 3 * EPOCH + 1))])
    expect(scene.states.statusOf(instance)).toBeNull()
  })
})

describe('a node that is gone', () => {
  beforeEach(async () => {
    scene.holds(peer, 4, [told(instance, statusOf('connected', 3 * EPOCH + 2))])
    await scene.states.prepare(ACCOUNT)
    scene.listen()
    scene.die(peer)
  })

  test('leaves its sessions moving, which streams are told', () => {
    expect(scene.states.statusOf(instance)).toMatchObject({
      state: 'disconnected',
      reason: { code: 'HANDOVER', nextStep: 'WAIT' },
      sequence: 3 * EPOCH + EPOCH - 1,
    })
    expect(scene.ticks).toHaveLength(1)
  })

  test('is not believed any more', () => {
    announce(9, [told(instance, statusOf('connected', 4 * EPOCH))])
    expect(scene.states.statusOf(instance)?.state).toBe('disconnected')
  })

  test('and comes back under the same name is asked for everything', async () => {
    const anew = scene.join(peerOf(6, peer.id))
    await settle()
    expect(scene.asked.at(-1)).toMatchObject({ peer: anew.id, request: { accounts: { [ACCOUNT]: null } } })
  })

  test('is followed by the next owner, whose epoch is higher', () => {
    const next = scene.join(peerOf(5))
    announce(1, [told(instance, statusOf('connecting', 4 * EPOCH))], next)
    expect(scene.states.statusOf(instance)?.state).toBe('connecting')
  })

  test('and registers anew is believed again', () => {
    const anew = scene.join(peerOf(6, peer.id))
    announce(9, [told(instance, statusOf('connecting', 6 * EPOCH))], anew)
    expect(scene.states.statusOf(instance)?.state).toBe('connecting')
  })
})

describe('instances that came or went unheard', () => {
  const added = () => ({ kind: 'added', instance }) as const
  const removed = () => ({ kind: 'removed', instance, last: statusOf('disconnected', 3 * EPOCH + 9) }) as const
  beforeEach(async () => {
    await scene.states.prepare(ACCOUNT)
    scene.missed.push(added())
  })

  test('are found in the rows when a node does not have them any more', async () => {
    scene.listen()
    scene.holds(peer, 300, [], { isCut: true })
    await scene.states.look()
    await settle()
    expect(scene.ticks).toEqual([added()])
    await scene.states.look()
    await settle()
    expect(scene.ticks).toHaveLength(1)
  })

  test('are found in the rows when a node has told something before it was known', async () => {
    scene.listen()
    const next = peerOf(4)
    scene.holds(next, 7, [])
    scene.join(next)
    await settle()
    expect(scene.ticks).toEqual([added()])
  })

  test('are found in the rows when the node that knew of them is gone', async () => {
    scene.listen()
    scene.die(peer)
    await settle()
    expect(scene.ticks).toEqual([added()])
  })

  test('are found later when the database is away', async () => {
    scene.listen()
    scene.database.isAway = true
    scene.die(peer)
    await settle()
    expect(scene.ticks).toEqual([])
    scene.database.isAway = false
    await scene.states.look()
    await settle()
    expect(scene.ticks).toEqual([added()])
  })

  test('are not looked for where nobody listens', async () => {
    scene.die(peer)
    await settle()
    scene.listen()
    await scene.states.look()
    await settle()
    expect(scene.ticks).toEqual([])
  })

  test('and were deleted are not told of again, whoever still has them', async () => {
    scene.listen()
    scene.missed.splice(0, 1, added())
    scene.tell({ from: peer, before: 0, number: 1, told: [], passings: [{ number: 1, tick: removed() }] })
    announce(2, [told(instance, statusOf('connected', 3 * EPOCH + 11))])
    scene.die(peer)
    await settle()
    expect(scene.ticks).toEqual([removed()])
    expect(scene.states.statusOf(instance)?.state).toBe('disconnected')
  })
})

describe('sessions at rest', () => {
  const last = (epoch: number) => (epoch + 1) * EPOCH - 1

  test('keep their state when their node is gone, under the sequence that a node says which has just looked', async () => {
    scene.holds(peer, 4, [told(instance, statusOf('loggedout', 3 * EPOCH + 2))])
    await scene.states.prepare(ACCOUNT)
    scene.listen()
    scene.die(peer)
    expect(scene.states.statusOf(instance)).toMatchObject({ state: 'loggedout', sequence: last(3) })
    expect(scene.ticks).toHaveLength(1)
  })

  test('keep their state when they leave this node, under the last sequence of their epoch', async () => {
    await scene.states.prepare(ACCOUNT)
    scene.states.noteReleased({ id: 'self', epoch: 2 }, instance, statusOf('loggedout', 2 * EPOCH + 8))
    expect(scene.states.statusOf(instance)).toMatchObject({ state: 'loggedout', sequence: last(2) })
  })

  test('whose node was not reached before it was gone are counted by the epoch that it had', async () => {
    scene.owners.push({ instanceId: instance.id, epoch: 3, node: peer })
    scene.silent.add(peer.id)
    await scene.states.prepare(ACCOUNT)
    expect(scene.states.statusOf(instance)?.sequence).toBe(3 * EPOCH)
    scene.die(peer)
    expect(scene.states.statusOf(instance)?.sequence).toBe(last(3))
  })

  test.each([true, false])(
    'that a node claimed and never told of are looked up when it is gone (told of before: %s)',
    async (isTold) => {
      const ownership = { instanceId: instance.id, epoch: 3, node: peer as PeerNode | null }
      scene.owners.push(ownership)
      if (isTold) scene.holds(peer, 4, [told(instance, statusOf('loggedout', 3 * EPOCH + 2))])
      await scene.states.prepare(ACCOUNT)
      scene.listen()
      Object.assign(ownership, { epoch: 8, node: null })
      scene.die(scene.join(peerOf(8)))
      await settle()
      expect(scene.states.statusOf(instance)?.sequence).toBe(last(8))
      if (isTold) expect(scene.ticks).toHaveLength(1)
    },
  )

  test('are looked up later when the database is away', async () => {
    scene.owners.push({ instanceId: instance.id, epoch: 3, node: null })
    await scene.states.prepare(ACCOUNT)
    scene.owners.splice(0, 1, { instanceId: instance.id, epoch: 8, node: null })
    scene.database.isAway = true
    scene.die(scene.join(peerOf(8)))
    await settle()
    scene.database.isAway = false
    await scene.states.look()
    await settle()
    expect(scene.states.statusOf(instance)?.sequence).toBe(last(8))
  })
})

describe('a node that is there and cannot be asked', () => {
  test('is not said to be connected for longer than 10 s', async () => {
    scene.holds(peer, 4, [told(instance, statusOf('connected', 3 * EPOCH + 2))])
    await scene.states.prepare(ACCOUNT)
    scene.silent.add(peer.id)
    scene.pass(9_000)
    await scene.states.look()
    expect(scene.states.statusOf(instance)?.state).toBe('connected')
    scene.pass(1_500)
    expect(scene.states.statusOf(instance)).toMatchObject({ state: 'disconnected', reason: { code: 'HANDOVER' } })
    expect(scene.states.isDelayed()).toBe(true)
  })

  test('is told to streams as doubtful, under a sequence of its own, until its owner has told it again', async () => {
    const before = 3 * EPOCH + 2
    scene.holds(peer, 4, [told(instance, statusOf('connected', before))])
    await scene.states.prepare(ACCOUNT)
    scene.listen()
    scene.silent.add(peer.id)
    scene.pass(10_500)
    await scene.states.look()
    await scene.states.look()
    expect(scene.ticks).toHaveLength(1)
    expect(scene.states.statusOf(instance)?.sequence).toBe(before + 1)
    scene.silent.clear()
    await scene.states.look()
    expect(scene.states.statusOf(instance)).toMatchObject({ state: 'disconnected', sequence: before + 1 })
    scene.holds(peer, 5, [told(instance, statusOf('connected', before + 2))])
    await scene.states.look()
    expect(scene.asked.at(-1)?.request.doubted).toEqual([instance.id])
    expect(scene.states.statusOf(instance)).toMatchObject({ state: 'connected', sequence: before + 2 })
    await scene.states.look()
    expect(scene.asked.at(-1)?.request.doubted).toEqual([])
    expect(scene.delays).toEqual([true, false])
  })

  test('and dies after that has come to its end, like for everybody who has not doubted it', async () => {
    scene.holds(peer, 4, [told(instance, statusOf('connected', 3 * EPOCH + 2))])
    await scene.states.prepare(ACCOUNT)
    scene.silent.add(peer.id)
    scene.pass(10_500)
    await scene.states.look()
    scene.die(peer)
    expect(scene.states.statusOf(instance)?.sequence).toBe(3 * EPOCH + EPOCH - 1)
  })

  test('is asked again by the first request after nobody has asked for a long time', async () => {
    scene.silent.add(peer.id)
    await scene.states.prepare(ACCOUNT)
    scene.pass(6 * 60_000)
    await scene.states.look()
    scene.silent.clear()
    scene.holds(peer, 4, [told(instance, statusOf('connected', 3 * EPOCH + 2))])
    scene.pass(60_000)
    await scene.states.prepare(ACCOUNT)
    expect(scene.states.statusOf(instance)?.state).toBe('connected')
    await scene.states.look()
    expect(scene.delays).toEqual([])
  })

  test('is asked again by the first request also when another one comes with it', async () => {
    scene.silent.add(peer.id)
    await scene.states.prepare(ACCOUNT)
    scene.pass(6 * 60_000)
    await scene.states.look()
    scene.silent.clear()
    scene.holds(peer, 4, [told(instance, statusOf('connected', 3 * EPOCH + 2))])
    scene.asked.length = 0
    const another = randomUUID()
    await Promise.all([scene.states.prepare(ACCOUNT), scene.states.prepare(another)])
    expect(scene.states.statusOf(instance)?.state).toBe('connected')
    expect(scene.asked.flatMap(({ request }) => Object.keys(request.accounts))).toEqual([ACCOUNT, another])
  })

  test('and announces a change is believed for 10 s in what it has said, and in nothing else', async () => {
    const other = instanceOf()
    scene.holds(
      peer,
      4,
      [instance, other].map((one) => told(one, statusOf('connected', 3 * EPOCH + 2))),
    )
    await scene.states.prepare(ACCOUNT)
    scene.silent.add(peer.id)
    scene.pass(10_500)
    announce(5, [told(instance, statusOf('connected', 3 * EPOCH + 4))])
    const states = () => [instance, other].map((one) => scene.states.statusOf(one)?.state)
    await scene.states.look()
    expect(states()).toEqual(['connected', 'disconnected'])
    scene.pass(9_000)
    expect(states()).toEqual(['connected', 'disconnected'])
    scene.pass(1_500)
    expect(states()).toEqual(['disconnected', 'disconnected'])
  })

  test('before anybody has asked for anything, is not told to be heard again', async () => {
    scene.states.isDelayed()
    scene.pass(60_000)
    scene.states.noteAsker({ id: peer.id, epoch: peer.epoch, isBusUp: true })
    await scene.states.prepare(ACCOUNT)
    scene.delays.length = 0
    await scene.states.look()
    expect(scene.delays).toEqual([])
  })

  test('is not missed when it takes no commands anyway', async () => {
    scene.join({ ...peerOf(9), address: null })
    await scene.states.prepare(ACCOUNT)
    for (let looks = 0; looks < 10; looks++) {
      scene.pass(2_000)
      await scene.states.look()
    }
    expect(scene.states.isDelayed()).toBe(false)
  })

  test('is not waited for again by every request', async () => {
    scene.silent.add(peer.id)
    await scene.states.prepare(ACCOUNT)
    expect(scene.states.prepare(ACCOUNT)).toBeUndefined()
  })

  test('whose truth has a session no more has ended it', async () => {
    scene.holds(peer, 4, [told(instance, statusOf('connected', 3 * EPOCH + 2))])
    await scene.states.prepare(ACCOUNT)
    scene.holds(peer, 5, [])
    scene.pass(1)
    await scene.states.look()
    expect(scene.states.statusOf(instance)).toMatchObject({ state: 'disconnected', reason: { code: 'HANDOVER' } })
  })
})

describe('while the bus is away', () => {
  beforeEach(async () => {
    await scene.states.prepare(ACCOUNT)
    scene.goDown()
  })

  test('every request reads the truth, and requests that come together share a reading', async () => {
    scene.holds(peer, 1, [told(instance, statusOf('connected', 3 * EPOCH + 1))])
    const asked = scene.asked.length
    await Promise.all(Array.from({ length: 50 }, () => scene.states.prepare(ACCOUNT)))
    expect(scene.states.statusOf(instance)?.state).toBe('connected')
    expect(scene.asked.length - asked).toBe(1)
  })

  test('a request that comes while another is read gets a reading of its own time', async () => {
    const first = scene.states.prepare(ACCOUNT)
    await Promise.resolve()
    scene.holds(peer, 1, [told(instance, statusOf('connected', 3 * EPOCH + 1))])
    await Promise.all([first, scene.states.prepare(ACCOUNT)])
    expect(scene.states.statusOf(instance)?.state).toBe('connected')
  })

  test('news are late, and when it is back everything is read', async () => {
    expect(scene.states.isDelayed()).toBe(true)
    scene.holds(peer, 1, [told(instance, statusOf('connected', 3 * EPOCH + 1))])
    scene.goUp()
    await settle()
    expect(scene.states.isDelayed()).toBe(false)
    expect(scene.delays).toEqual([true, false])
    expect(scene.states.statusOf(instance)?.state).toBe('connected')
  })
})

describe('while another node has lost the bus', () => {
  test('it is asked by every request, and its news are late', async () => {
    await scene.states.prepare(ACCOUNT)
    scene.states.noteAsker({ id: peer.id, epoch: peer.epoch, isBusUp: false })
    scene.mute.add(peer.id)
    expect(scene.states.isDelayed()).toBe(true)
    scene.holds(peer, 1, [told(instance, statusOf('connected', 3 * EPOCH + 1))])
    await scene.states.prepare(ACCOUNT)
    expect(scene.states.statusOf(instance)?.state).toBe('connected')
    scene.mute.clear()
    await scene.states.look()
    expect(scene.states.isDelayed()).toBe(false)
    expect(scene.states.prepare(ACCOUNT)).toBeUndefined()
    expect(scene.delays).toEqual([true, false])
  })

  test('this one tells the others that it has lost it, at once', async () => {
    scene.goDown()
    await settle()
    expect(scene.asked.at(-1)?.request.from).toEqual({ id: 'self', epoch: 1, isBusUp: false })
  })
})

describe('a pairing elsewhere', () => {
  test('is shown here step by step', async () => {
    await scene.states.prepare(ACCOUNT)
    scene.listen(instance.id)
    announce(1, [told(instance, statusOf('connecting', 3 * EPOCH + 1), { number: 1, step: qr('one') })])
    announce(2, [told(instance, statusOf('connecting', 3 * EPOCH + 1), { number: 2, step: qr('two') })])
    expect(scene.states.stepOf(instance.id)).toMatchObject({ value: 'two' })
    expect(scene.steps).toMatchObject([{ value: 'one' }, { value: 'two' }])
    const outcome: PairingStep = { kind: 'succeeded', numberJid: '1@s.whatsapp.net' }
    announce(3, [told(instance, statusOf('connecting', 3 * EPOCH + 2), { number: 3, step: outcome })])
    expect(scene.states.stepOf(instance.id)).toBeNull()
    expect(scene.steps.at(-1)).toEqual(outcome)
  })

  test('whose end was missed is ended by the next look', async () => {
    await scene.states.prepare(ACCOUNT)
    scene.listen(instance.id)
    const outcome: PairingStep = { kind: 'failed', reason: reasonOf('PAIRING_EXPIRED') }
    scene.holds(peer, 3, [told(instance, statusOf('disconnected', 3 * EPOCH + 2), { number: 3, step: outcome })])
    await scene.states.look()
    expect(scene.steps).toEqual([outcome])
  })

  test('that was over before anybody listened is not told', async () => {
    scene.listen(instance.id)
    const outcome: PairingStep = { kind: 'failed', reason: reasonOf('PAIRING_EXPIRED') }
    scene.holds(peer, 3, [told(instance, statusOf('disconnected', 3 * EPOCH + 2), { number: 3, step: outcome })])
    await scene.states.prepare(ACCOUNT)
    expect(scene.steps).toEqual([])
  })

  test('fails when its node is gone', async () => {
    await scene.states.prepare(ACCOUNT)
    scene.listen(instance.id)
    announce(1, [told(instance, statusOf('connecting', 3 * EPOCH + 1), { number: 1, step: qr('one') })])
    scene.die(peer)
    expect(scene.steps.at(-1)).toMatchObject({ kind: 'failed', reason: { code: 'HANDOVER' } })
    expect(scene.states.stepOf(instance.id)).toBeNull()
  })
})

test('what runs here is not told as news from elsewhere', async () => {
  await scene.states.prepare(ACCOUNT)
  scene.listen()
  scene.here.add(instance.id)
  announce(1, [told(instance, statusOf('connected', 2 * EPOCH + 1))])
  expect(scene.ticks).toEqual([])
})

test('a node that begins to drain is not taken for gone', async () => {
  scene.holds(peer, 4, [told(instance, statusOf('connected', 3 * EPOCH + 2))])
  await scene.states.prepare(ACCOUNT)
  scene.change({ come: [{ ...peer, isDraining: true }], gone: [peer] })
  expect(scene.states.statusOf(instance)?.state).toBe('connected')
})

test('what the next owner has told while the session was still here is told when it has left', async () => {
  await scene.states.prepare(ACCOUNT)
  scene.listen()
  scene.here.add(instance.id)
  announce(1, [told(instance, statusOf('connected', 3 * EPOCH + 1))])
  expect(scene.ticks).toEqual([])
  scene.here.clear()
  scene.states.noteReleased({ id: 'self', epoch: 2 }, instance, statusOf('disconnected', 2 * EPOCH + 7))
  expect(scene.ticks).toHaveLength(1)
  expect(scene.states.statusOf(instance)?.state).toBe('connected')
})

test('a session that has left this node stays known as moving until its next owner tells of it', async () => {
  await scene.states.prepare(ACCOUNT)
  scene.states.noteReleased({ id: 'self', epoch: 2 }, instance, statusOf('connected', 2 * EPOCH + 7))
  expect(scene.states.statusOf(instance)).toMatchObject({ state: 'disconnected', sequence: 2 * EPOCH + EPOCH - 1 })
  announce(1, [told(instance, statusOf('connected', 3 * EPOCH + 1))])
  expect(scene.states.statusOf(instance)?.state).toBe('connected')
})
