import {
  type CompiledQuery,
  DummyDriver,
  Kysely,
  PostgresAdapter,
  PostgresIntrospector,
  PostgresQueryCompiler,
  type QueryResult,
} from 'kysely'
import { afterEach, beforeEach, describe, expect, onTestFinished, test, vi } from 'vitest'
import { NodeLease } from '../src/cluster/lease.ts'
import { LEASE_MS, type LiveNode } from '../src/cluster/nodes.ts'
import type { DB } from '../src/db/types.ts'
import { silentLogger } from './silent-logger.ts'

const ID = '00000000-0000-4000-8000-000000000001'
const REACHABLE = '127.0.0.1:1'
/** So long a lease holds by the clock of its own node. */
const HELD_MS = LEASE_MS - 1_000

beforeEach(() => void vi.useFakeTimers())
afterEach(() => {
  vi.restoreAllMocks()
  vi.useRealTimers()
})

/** A database that knows of nodes and nothing else, and answers when a test wants it to. */
function playDatabase(epoch: number) {
  const played = {
    peers: [] as LiveNode[],
    renewals: 0,
    /** What a renewal takes; null: for ever. */
    renewalMs: 0 as number | null,
    isAway: false,
    /** Others have taken the node for gone. */
    isBuried: false,
    burials: 0,
    /** The operator has asked the node to give its sessions away. */
    isDraining: false,
    db: new Kysely<DB>({
      dialect: {
        createAdapter: () => new PostgresAdapter(),
        createIntrospector: (db) => new PostgresIntrospector(db),
        createQueryCompiler: () => new PostgresQueryCompiler(),
        createDriver: () =>
          Object.assign(new DummyDriver(), {
            acquireConnection: async () => ({ executeQuery: answer, streamQuery: () => Promise.reject() }),
          }),
      },
    }),
  }
  let last = epoch - 1
  const self = (): LiveNode => ({ ...peer(last), id: ID, isDraining: played.isDraining })
  async function answer<Row>({ sql, parameters }: CompiledQuery): Promise<QueryResult<Row>> {
    if (played.isAway) throw new Error('Connection terminated')
    if (sql.includes('setval')) return { rows: [{ epoch: ++last }] as Row[] }
    if (sql.startsWith('insert')) Object.assign(played, { isBuried: false, isDraining: parameters.includes(true) })
    if (sql.startsWith('delete') && sql.includes('"epoch"')) played.burials++
    if (!sql.includes('with buried')) return { rows: [] }
    played.renewals++
    const ms = played.renewalMs
    if (ms === null) await new Promise(() => {})
    else if (ms > 0) await new Promise((resolve) => setTimeout(resolve, ms))
    const nodes = played.isBuried ? [] : [...played.peers, self()]
    return { rows: nodes.map((node) => ({ ...node, now: new Date() })) as Row[] }
  }
  return played
}

const peer = (epoch: number, more: Partial<LiveNode> = {}): LiveNode => ({
  id: `peer ${epoch}`,
  epoch,
  address: REACHABLE,
  isDraining: false,
  startedAt: new Date(0),
  owned: 0,
  process: null,
  msLeft: LEASE_MS,
  ...more,
})

/** The lease of a node that registers with epoch 5, and what it has told. */
function createLease({ address = REACHABLE as string | null, peers = [] as LiveNode[], onHeld = () => {} } = {}) {
  const database = playDatabase(5)
  database.peers = peers
  const told: string[] = []
  const tell = (what: string) => () => void told.push(`${what} ${lease.node?.epoch} ${lease.isValid()}`)
  const lease: NodeLease = new NodeLease(
    database.db,
    silentLogger,
    { id: ID, address, keyCheck: null, name: 'test' },
    () => 0,
    {
      onHeld,
      onDoubt: tell('doubt'),
      onLost: tell('lost'),
      onDrain: tell('drain'),
    },
  )
  onTestFinished(() => lease.close())
  return { lease, database, told }
}

describe('whether a node runs sessions', () => {
  const unreachable = { address: null }
  test.each<[string, string | null, LiveNode[], boolean]>([
    ['a node that nobody can reach does while it is alone', null, [], true],
    ['one that nobody can reach does when others come after it', null, [peer(6), peer(7, unreachable)], true],
    ['one that nobody can reach waits for one that was there before', null, [peer(4)], false],
    ['the same when nobody can reach that one either', null, [peer(4, unreachable), peer(6)], false],
    ['one that can be reached does beside all like it', REACHABLE, [peer(4), peer(6)], true],
    ['one that can be reached waits for an older one that cannot', REACHABLE, [peer(3), peer(4, unreachable)], false],
    ['one that can be reached does beside a younger one that cannot', REACHABLE, [peer(6, unreachable)], true],
  ])('%s', async (_rule, address, peers, takesPart) => {
    const { lease } = createLease({ address, peers })
    await lease.open()
    expect(lease.takesPart).toBe(takesPart)
  })

  test('changes with the end of the one that it waits for', async () => {
    const { lease, database } = createLease({ address: null, peers: [peer(4)] })
    await lease.open()
    expect(lease.takesPart).toBe(false)
    database.peers = []
    await lease.renewNow()
    expect(lease.takesPart).toBe(true)
  })
})

describe('a lease', () => {
  test('ends a second before the database may say so, counted from the question and not from the answer', async () => {
    const { lease, database, told } = createLease()
    expect(lease.isValid()).toBe(false)
    database.renewalMs = 2_000
    const opened = lease.open()
    await vi.advanceTimersByTimeAsync(2_000)
    await opened
    expect(lease.isValid()).toBe(true)
    database.isAway = true
    await vi.advanceTimersByTimeAsync(HELD_MS - 2_000 - 1)
    expect(lease.isValid()).toBe(true)
    expect(told).toEqual([])
    await vi.advanceTimersByTimeAsync(1)
    expect(lease.isValid()).toBe(false)
    expect(told).toEqual(['doubt 5 false'])
    await vi.advanceTimersByTimeAsync(60_000)
    expect(told).toHaveLength(1)
  })

  test('is over at once for whoever asks, also while the timer that watches it is late', async () => {
    const { lease, told } = createLease()
    await lease.open()
    vi.spyOn(performance, 'now').mockReturnValue(performance.now() + HELD_MS)
    expect(lease.isValid()).toBe(false)
    expect(told).toEqual([])
  })

  test('is not taken to hold while the clock on the wall says otherwise, as after a suspension, until it was renewed', async () => {
    const { lease, database, told } = createLease()
    await lease.open()
    vi.setSystemTime(Date.now() + HELD_MS)
    expect(lease.isValid()).toBe(false)
    const { renewals } = database
    expect(await Promise.all([lease.confirm(), lease.confirm(), lease.confirm()])).toEqual([true, true, true])
    expect(database.renewals).toBe(renewals + 1)
    expect(lease.isValid()).toBe(true)
    vi.setSystemTime(Date.now() - 3_600_000)
    expect(lease.confirm()).toBe(true)
    expect(told).toEqual([])
  })

  test('is in doubt after a suspension when the database cannot say anything, which is not asked over and over', async () => {
    const { lease, database, told } = createLease()
    await lease.open()
    database.isAway = true
    vi.setSystemTime(Date.now() + HELD_MS)
    expect(await lease.confirm()).toBe(false)
    expect(told).toEqual(['doubt 5 false'])
    expect(lease.confirm()).toBe(false)
    expect(lease.failures).toBe(1)
  })

  test('holds as long as it is renewed, and again when the database is back', async () => {
    const { lease, database, told } = createLease()
    await lease.open()
    await vi.advanceTimersByTimeAsync(60_000)
    expect(lease.isValid()).toBe(true)
    expect(lease.failures).toBe(0)
    database.isAway = true
    await vi.advanceTimersByTimeAsync(LEASE_MS)
    expect(lease.isValid()).toBe(false)
    expect(lease.failures).toBeGreaterThan(0)
    database.isAway = false
    await vi.advanceTimersByTimeAsync(1_000)
    expect(lease.isValid()).toBe(true)
    expect(lease.node?.epoch).toBe(5)
    expect(told).toEqual(['doubt 5 false'])
  })

  test('is not prolonged by an answer that comes too late', async () => {
    const { lease, database } = createLease()
    await lease.open()
    database.renewalMs = 3_500
    await vi.advanceTimersByTimeAsync(LEASE_MS)
    expect(lease.isValid()).toBe(false)
    expect(lease.failures).toBeGreaterThan(1)
  })

  test('is held before others follow it, and whatever becomes of that', async () => {
    const fail = () => {
      throw new Error('No')
    }
    const { lease, database } = createLease({ onHeld: fail })
    const seen: boolean[] = []
    lease.onChange(() => void seen.push(lease.isValid()))
    lease.onChange(fail)
    lease.onChange(() => void seen.push(lease.isValid()))
    database.peers = [peer(4)]
    await lease.open()
    expect(seen).toEqual([true, true])
    expect(lease.isValid()).toBe(true)
    expect(lease.failures).toBe(0)
  })

  test('that others have ended is told as lost under its own name, and followed by another one', async () => {
    const { lease, database, told } = createLease()
    await lease.open()
    database.isBuried = true
    await vi.advanceTimersByTimeAsync(3_000)
    expect(told).toEqual(['lost 5 false'])
    expect(lease.node).toEqual({ id: ID, epoch: 6 })
    expect(lease.isValid()).toBe(true)
  })

  test('of a node that nobody can reach and that knows of no other holds without the database', async () => {
    const { lease, database, told } = createLease({ address: null })
    await lease.open()
    database.isAway = true
    await vi.advanceTimersByTimeAsync(600_000)
    expect(lease.isValid()).toBe(true)
    expect(told).toEqual([])
  })

  test.each<[string, string | null, LiveNode[]]>([
    ['that nobody can reach and that knew of another', null, [peer(6)]],
    ['that others could reach, though there are none', REACHABLE, []],
  ])('of a node %s ends', async (_which, address, peers) => {
    const { lease, database, told } = createLease({ address, peers })
    await lease.open()
    database.renewalMs = null
    await vi.advanceTimersByTimeAsync(LEASE_MS)
    expect(lease.isValid()).toBe(false)
    expect(told).toEqual(['doubt 5 false'])
  })

  test('of a node that was asked to give its sessions away says so under the next registration, too', async () => {
    const { lease, database, told } = createLease()
    await lease.open()
    database.isDraining = true
    await lease.renewNow()
    expect(told).toEqual(['drain 5 true'])
    database.isBuried = true
    await vi.advanceTimersByTimeAsync(3_000)
    expect(lease.node?.epoch).toBe(6)
    expect(lease.isDraining).toBe(true)
  })

  test('is renewed sooner when that of another node is about to end', async () => {
    const { lease, database } = createLease({ peers: [peer(4, { msLeft: 300 })] })
    await lease.open()
    const { renewals } = database
    await vi.advanceTimersByTimeAsync(600)
    expect(database.renewals).toBe(renewals + 1)
  })

  test('ends with its node, of which nothing is left in the database', async () => {
    const { lease, database } = createLease({ address: null })
    await lease.open()
    await lease.close()
    expect(lease.isValid()).toBe(false)
    expect(database.burials).toBe(1)
    await vi.advanceTimersByTimeAsync(60_000)
    expect(database.renewals).toBe(1)
  })
})
