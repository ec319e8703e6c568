import {
  type CompiledQuery,
  DummyDriver,
  Kysely,
  PostgresAdapter,
  PostgresIntrospector,
  PostgresQueryCompiler,
} from 'kysely'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import type { NodeLease } from '../src/cluster/lease.ts'
import type { DB } from '../src/db/types.ts'
import { CALM_MS, Tending } from '../src/session/tending.ts'
import { silentLogger } from './silent-logger.ts'

beforeEach(() => void vi.useFakeTimers())
afterEach(() => void vi.useRealTimers())

const LOOK_MS = 2_000
const other = { id: 'b', epoch: 2, address: null, isDraining: false }

/** What a node with nothing to do asks of the database. */
function tend({ isReachable = false, peers = [] as (typeof other)[] } = {}) {
  let claims = 0
  let change = () => {}
  const executeQuery = async ({ sql }: CompiledQuery) => {
    if (sql.includes('with wanted')) claims++
    return { rows: [] }
  }
  const db = new Kysely<DB>({
    dialect: {
      createAdapter: () => new PostgresAdapter(),
      createIntrospector: (kysely) => new PostgresIntrospector(kysely),
      createQueryCompiler: () => new PostgresQueryCompiler(),
      createDriver: () =>
        Object.assign(new DummyDriver(), {
          acquireConnection: async () => ({ executeQuery, streamQuery: () => Promise.reject() }),
        }),
    },
  })
  const lease = {
    node: { id: 'a', epoch: 1 },
    takesPart: true,
    isReachable,
    isDraining: false,
    isValid: () => true,
    list: () => peers,
    onChange: (listener: () => void) => void (change = listener),
  } as unknown as NodeLease
  const onRegistered = () => {}
  const onOwned = () => {}
  const tending = new Tending({
    db,
    logger: silentLogger,
    lease,
    handovers: null,
    restores: true,
    calmMs: CALM_MS,
    onRegistered,
    onOwned,
  })
  return {
    /** How often it claims what is free in so many looks. */
    claimsIn: async (looks: number) => {
      claims = 0
      for (let look = 0; look < looks; look++) {
        await vi.advanceTimersByTimeAsync(LOOK_MS)
        tending.look(new Date())
        await tending.idle()
      }
      return claims
    },
    somebodyComesOrGoes: () => change(),
  }
}

test('a node that is alone claims with each look at first, and then twice a minute, until somebody has come or gone', async () => {
  const node = tend()
  expect(await node.claimsIn(5)).toBe(5)
  await node.claimsIn(10)
  expect(await node.claimsIn(30)).toBe(2)
  node.somebodyComesOrGoes()
  expect(await node.claimsIn(5)).toBe(5)
})

test.each([
  ['that others can reach', { isReachable: true }],
  ['beside another one', { peers: [other] }],
])('a node %s claims with each look', async (_which, options) => {
  const node = tend(options)
  await node.claimsIn(20)
  expect(await node.claimsIn(30)).toBe(30)
})
