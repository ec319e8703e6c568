import { randomUUID } from 'node:crypto'
import { setTimeout } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import type { NodeRef } from '../src/cluster/node.ts'
import { buryNode, registerNode, renewLease } from '../src/cluster/nodes.ts'
import { claimOne, claimWanted, handOver, ownerOf } from '../src/cluster/owners.ts'
import { type Database, openDatabase } from '../src/db/database.ts'
import { isUnavailable } from '../src/db/unavailable.ts'
import { deleteAuthState, writeSealedCreds, writeSealedKeys } from '../src/session/auth-queries.ts'
import {
  forgetOutdatedClients,
  writeDesiredState,
  writeLoggedOut,
  writePaired,
  writeProfile,
  writeStopped,
} from '../src/session/facts.ts'
import { NotOurs, type Owned } from '../src/session/fence.ts'
import { seed, type SeededAccount } from './seed.ts'
import { silentLogger } from './silent-logger.ts'
import { createTestDatabase, hasPostgres } from './testkit.ts'

const LIMITS = { sharers: 1, slack: 0, batch: 1_000 }
const CREDS = Buffer.from('creds')

describe.skipIf(!hasPostgres)('the owner of a session', () => {
  let place: { url: string; drop(): Promise<void> }
  let database: Database
  let account: SeededAccount
  beforeAll(async () => {
    place = await createTestDatabase()
    database = await openDatabase({ databaseUrl: place.url, dataDir: '', logger: silentLogger })
    await database.migrate()
    account = await seed(database.direct).account('shop')
  })
  afterAll(async () => {
    await database.close()
    await place.drop()
  })

  const register = async (): Promise<NodeRef> => {
    const { direct: db } = database
    const options = {
      id: randomUUID(),
      address: '127.0.0.1:1',
      process: null,
      name: 'test',
      keyCheck: null,
      isDraining: false,
    }
    const node = await registerNode(db, options)
    onTestFinished(() => buryNode(db, node))
    return node
  }
  let instances = 0
  const createInstance = async () => (await account.instance(`n${++instances}`)).id

  /** An instance with its first owner. */
  const own = async (node: NodeRef): Promise<Owned> => {
    const instanceId = await createInstance()
    const epoch = await claimOne(database.direct, node, instanceId)
    return { instanceId, epoch: epoch ?? -1 }
  }

  /** Paired instances that are to run. */
  const want = async (count: number) => {
    await database.direct.deleteFrom('instances').execute()
    const ids: string[] = []
    for (let i = 0; i < count; i++) {
      const owned = await own(await register())
      ids.push(owned.instanceId)
      await writePaired(database.direct, owned, { numberJid: '15550001@s.whatsapp.net', sealedCreds: CREDS })
      await writeDesiredState(database.direct, owned, 'connected')
    }
    const { direct: db } = database
    await db.deleteFrom('nodes').execute()
    onTestFinished(async () => {
      await db.deleteFrom('instances').where('id', 'in', ids).execute()
    })
    return ids
  }

  const WRITES: [string, (owned: Owned) => Promise<unknown>][] = [
    ['credentials', (owned) => writeSealedCreds(database.direct, owned, CREDS)],
    ['keys', (owned) => writeSealedKeys(database.direct, owned, [{ type: 'session', id: '1', sealed: CREDS }])],
    [
      'the end of keys',
      (owned) => writeSealedKeys(database.direct, owned, [{ type: 'session', id: '1', sealed: null }]),
    ],
    [
      'a pairing',
      (owned) => writePaired(database.direct, owned, { numberJid: '1@s.whatsapp.net', sealedCreds: CREDS }),
    ],
    ['a logout', (owned) => writeLoggedOut(database.direct, owned)],
    ['a stop', (owned) => writeStopped(database.direct, owned, 'BANNED', 403)],
    ['a profile', (owned) => writeProfile(database.direct, owned, { name: 'Ann' })],
    ['what is wanted', (owned) => writeDesiredState(database.direct, owned, 'connected')],
    ['the end of the auth state', (owned) => deleteAuthState(database.direct, owned)],
  ]
  const everything = async (instanceId: string) => {
    const { direct: db } = database
    const of = (table: 'auth_creds' | 'auth_keys') =>
      db.selectFrom(table).selectAll().where('instance_id', '=', instanceId).execute()
    const row = await db.selectFrom('instances').selectAll().where('id', '=', instanceId).executeTakeFirst()
    return [row, await of('auth_creds'), await of('auth_keys')]
  }

  test('an outdated client that is being claimed is left to its new owner', async () => {
    const { direct: db } = database
    const owned = await own(await register())
    await writeStopped(db, owned, 'CLIENT_OUTDATED', 405)
    await db.deleteFrom('nodes').execute()
    const heir = await register()
    const reasons = () =>
      db.selectFrom('instances').select('stop_reason').where('id', '=', owned.instanceId).executeTakeFirst()
    await db.transaction().execute(async (transaction) => {
      await claimOne(transaction, heir, owned.instanceId)
      await forgetOutdatedClients(db)
      expect(await reasons()).toEqual({ stop_reason: 'CLIENT_OUTDATED' })
    })
    await forgetOutdatedClients(db)
    expect(await reasons()).toEqual({ stop_reason: 'CLIENT_OUTDATED' })
    await buryNode(db, heir)
    await forgetOutdatedClients(db)
    expect(await reasons()).toEqual({ stop_reason: null })
  })

  test.each(WRITES)('alone can write %s', async (_what, write) => {
    const [one, other] = [await register(), await register()]
    const owned = await own(one)
    await writeSealedCreds(database.direct, owned, CREDS)
    await writeSealedKeys(database.direct, owned, [{ type: 'session', id: '1', sealed: CREDS }])
    const before = await everything(owned.instanceId)
    const epoch = (await handOver(database.direct, owned, other)) ?? -1
    expect(epoch).toBeGreaterThan(owned.epoch)
    const outcome = await write(owned).catch((error) => error)
    expect(outcome === undefined || outcome instanceof NotOurs).toBe(true)
    expect(await everything(owned.instanceId)).toEqual(before)
    const right = await write({ ...owned, epoch }).catch((error) => error)
    expect(right).not.toBeInstanceOf(NotOurs)
  })

  test.each(WRITES)(
    'who is writing %s is waited for by a claim, and what it writes afterwards is refused',
    async (_what, write) => {
      const { direct: db } = database
      const [one, other] = [await register(), await register()]
      const owned = await own(one)
      let commit = () => {}
      const mayCommit = new Promise<void>((resolve) => {
        commit = resolve
      })
      let isWritten = () => {}
      const written = new Promise<void>((resolve) => {
        isWritten = resolve
      })
      const writing = db.transaction().execute(async (transaction) => {
        // The same statements, in a transaction that is held open.
        const held = database.direct
        database = { ...database, direct: transaction }
        try {
          await write(owned)
        } finally {
          database = { ...database, direct: held }
        }
        isWritten()
        await mayCommit
      })
      await written
      await buryNode(db, one)
      let isClaimed = false
      const claim = claimOne(db, other, owned.instanceId).then((epoch) => {
        isClaimed = true
        return epoch
      })
      await setTimeout(150)
      expect(isClaimed).toBe(false)
      commit()
      await writing
      expect(await claim).toBeGreaterThan(owned.epoch)
      const before = await everything(owned.instanceId)
      await write(owned).catch((error) => expect(error).toBeInstanceOf(NotOurs))
      expect(await everything(owned.instanceId)).toEqual(before)
    },
  )

  test('waits with a write while it is being replaced, and is refused then', async () => {
    const { direct: db } = database
    const [one, other] = [await register(), await register()]
    const owned = await own(one)
    const outcomes: unknown[] = []
    let writes: Promise<unknown>[] = []
    await db.transaction().execute(async (transaction) => {
      await handOver(transaction, owned, other)
      writes = WRITES.map(([, write]) =>
        write(owned).then(
          (result) => outcomes.push(result),
          (error) => outcomes.push(error),
        ),
      )
      await setTimeout(150)
      expect(outcomes).toEqual([])
    })
    await Promise.all(writes)
    expect(outcomes.filter((outcome) => outcome !== undefined && !(outcome instanceof NotOurs))).toEqual([])
    expect((await everything(owned.instanceId)).slice(1)).toEqual([[], []])
  })

  test('is one of those who claim at once, and stays it while it is registered', async () => {
    const { direct: db } = database
    const nodes = await Promise.all(Array.from({ length: 8 }, register))
    const instanceId = await createInstance()
    const claims = await Promise.all(nodes.map((node) => claimOne(db, node, instanceId)))
    expect(claims.filter((epoch) => epoch !== undefined)).toHaveLength(1)
    const winner = nodes[claims.findIndex((epoch) => epoch !== undefined)]
    expect((await ownerOf(db, instanceId))?.node).toMatchObject(winner ?? {})
    if (winner) await buryNode(db, winner)
    expect((await ownerOf(db, instanceId))?.node).toBeNull()
    const next = nodes.find((node) => node !== winner) ?? nodes[0]
    if (next)
      expect(await claimOne(db, next, instanceId)).toBeGreaterThan(Math.max(...claims.map((epoch) => epoch ?? 0)))
  })

  test('cannot become a node that was buried', async () => {
    const { direct: db } = database
    const node = await register()
    await buryNode(db, node)
    expect(await claimOne(db, node, await createInstance())).toBeUndefined()
    const owned = await own(await register())
    expect(await handOver(db, owned, node)).toBeUndefined()
  })

  test('of what is to run is found in fair shares, each once', async () => {
    const { direct: db } = database
    const ids = await want(20)
    const nodes = [await register(), await register()]
    const limits = { ...LIMITS, sharers: 2, slack: 1, batch: 50 }
    const claims = await Promise.all(nodes.map((node) => claimWanted(db, node, limits)))
    // Those that were passed over because somebody else had them in hand are found the next time.
    for (const node of nodes) claims.push(await claimWanted(db, node, limits))
    const claimed = claims.flat().map(({ instance }) => instance.id)
    expect(claimed.toSorted()).toEqual(ids.toSorted())
    const owners = await Promise.all(ids.map((id) => ownerOf(db, id)))
    for (const { id } of nodes) {
      expect(owners.filter((owner) => owner?.node?.id === id).length).toBeLessThanOrEqual(11)
    }
  })

  test('is gone when its lease has ended and somebody else renews, and learns of it', async () => {
    const { direct: db } = database
    const [one, other] = [await register(), await register()]
    expect(await renewLease(db, one, 0)).not.toBeNull()
    const owned = await own(one)
    await db
      .updateTable('nodes')
      .set({ lease_until: new Date(Date.now() - 1_000) })
      .where('id', '=', one.id)
      .execute()
    const renewal = await renewLease(db, other, 0)
    expect(renewal?.nodes.map(({ id }) => id)).not.toContain(one.id)
    expect((await ownerOf(db, owned.instanceId))?.node).toBeNull()
    expect(await renewLease(db, one, 0)).toBeNull()
  })

  test('registers with an epoch above every one before', async () => {
    const { direct: db } = database
    const owned = await own(await register())
    await db.updateTable('session_owners').set({ epoch: '1000' }).where('instance_id', '=', owned.instanceId).execute()
    const nodes = await Promise.all([register(), register(), register()])
    const epochs = nodes.map(({ epoch }) => epoch)
    expect(Math.min(...epochs)).toBe(1_001)
    expect(new Set(epochs).size).toBe(3)
  })

  test('cannot be kept by a process that is suspended within a transaction', async () => {
    const owner = await register()
    const { instanceId } = await own(owner)
    await buryNode(database.direct, owner)
    const suspended = database.direct.transaction().execute(async (transaction) => {
      await transaction
        .selectFrom('session_owners')
        .select('epoch')
        .where('instance_id', '=', instanceId)
        .forShare()
        .execute()
      await setTimeout(7_000)
      await transaction.selectFrom('instances').select('id').execute()
    })
    const isEnded = suspended.then(
      () => false,
      (error) => isUnavailable(error),
    )
    await setTimeout(6_000)
    const next = await register()
    await expect(claimOne(database.direct, next, instanceId)).resolves.toBeGreaterThan(0)
    expect(await isEnded).toBe(true)
  })
})
