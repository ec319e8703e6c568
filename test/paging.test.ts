import { randomUUID } from 'node:crypto'
import fc from 'fast-check'
import { CompiledQuery, type Kysely, sql } from 'kysely'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { openDatabase } from '../src/db/database.ts'
import type { DB } from '../src/db/types.ts'
import { createInstance } from '../src/instance/actions.ts'
import { listInstancesAfter, listInstancesById, listInstancesByName } from '../src/instance/queries.ts'
import { chatwootsOf, proxiesOf, settingsOf, webhooksOf } from '../src/integration/queries.ts'
import { profilesOf } from '../src/profile/queries.ts'
import { findTokenByDigest, listLiveTokens, listTokens } from '../src/token/queries.ts'
import { InstanceNamesDocument, InstancePageDocument } from './generated/graphql.ts'
import { type SeededAccount, seed } from './seed.ts'
import { silentLogger } from './silent-logger.ts'
import { createTestDatabase, hasPostgres, startGatewayForTest, startTestGateway, type TestGateway } from './testkit.ts'

let gateway: TestGateway
let shop: SeededAccount
let accounts = 0

beforeAll(async () => {
  gateway = await startTestGateway()
  shop = await seed(gateway.services.db).account('shop')
  await shop.instances(5)
})
afterAll(() => gateway.close())

const pageOf = (
  account: SeededAccount,
  variables: { first?: number | null; after?: string | null },
  token = account.token,
) => gateway.graphql(InstancePageDocument, variables, token)

/** All names, page by page; `between` may change what is there. */
async function walk(
  account: SeededAccount,
  first: number,
  between: (page: number) => Promise<unknown> = async () => {},
) {
  const seen: string[] = []
  let after: string | null = null
  for (let page = 0; ; page++) {
    const { instancesConnection } = await pageOf(account, { first, after })
    seen.push(...instancesConnection.edges.map(({ node }) => node.name))
    if (!instancesConnection.pageInfo.hasNextPage) return seen
    after = instancesConnection.pageInfo.endCursor ?? null
    await between(page)
  }
}

/** An account whose instances were created at the given milliseconds, many at the same. */
async function accountCreatedAt(times: number[]) {
  const account = await seed(gateway.services.db).account(`account ${accounts++}`)
  const rows = times.map((time, index) => ({
    id: randomUUID(),
    account_id: account.id,
    name: `n${index}`,
    created_at: new Date(Date.UTC(2026, 0, 1) + time),
  }))
  if (rows.length > 0) await gateway.services.db.insertInto('instances').values(rows).execute()
  return account
}

const times = fc.array(fc.integer({ min: 0, max: 3 }), { maxLength: 12 })
const first = fc.integer({ min: 1, max: 5 })

describe('a walk over the pages', () => {
  test('is the whole list in its order, whatever the size of the pages and however many were created at once', async () => {
    await fc.assert(
      fc.asyncProperty(times, first, async (created, size) => {
        const account = await accountCreatedAt(created)
        const { instances } = await gateway.graphql(InstanceNamesDocument, {}, account.token)
        expect(await walk(account, size)).toEqual(instances.map(({ name }) => name))
      }),
      { numRuns: 40 },
    )
  })

  test('misses nothing and repeats nothing that was there all the time, while others come and go', async () => {
    await fc.assert(
      fc.asyncProperty(
        times,
        first,
        fc.array(fc.boolean(), { minLength: 12, maxLength: 12 }),
        async (created, size, leaves) => {
          const account = await accountCreatedAt(created)
          const leaving = created.map((_, index) => `n${index}`).filter((_, index) => leaves[index])
          const staying = created.map((_, index) => `n${index}`).filter((_, index) => !leaves[index])
          const { db } = gateway.services
          const seen = await walk(account, size, async (page) => {
            const name = leaving[page]
            if (name)
              await db.deleteFrom('instances').where('account_id', '=', account.id).where('name', '=', name).execute()
            const created_at = new Date(Date.UTC(2026, 0, 1) + (page % 4))
            await db
              .insertInto('instances')
              .values({ id: randomUUID(), account_id: account.id, name: `new${page}`, created_at })
              .execute()
          })
          expect(new Set(seen).size).toBe(seen.length)
          expect(seen).toEqual(expect.arrayContaining(staying))
        },
      ),
      { numRuns: 40 },
    )
  })
})

/** The embedded database has one session, in which nothing is created during a statement of somebody else. */
test.skipIf(!hasPostgres)('a walk that goes on while several gateways create meets every instance, once', async () => {
  const database = await createTestDatabase()
  onTestFinished(database.drop)
  const open = () => startGatewayForTest({ databaseUrl: database.url })
  const gateways = [await open(), await open(), await open()] as const
  const busy = await seed(gateways[0].services.db).account('busy')
  let isCreating = true
  const pageOn = ({ graphql }: TestGateway, after: string | null) =>
    graphql(InstancePageDocument, { first: 5, after }, busy.token)
  const walkOn = async (gateway: TestGateway) => {
    const seen: string[] = []
    let after: string | null = null
    for (;;) {
      const isLast = !isCreating
      const { instancesConnection } = await pageOn(gateway, after)
      seen.push(...instancesConnection.edges.map(({ node }) => node.name))
      const { endCursor } = instancesConnection.pageInfo
      if (!endCursor && isLast) return seen
      after = endCursor ?? after
    }
  }
  const walks = gateways.map(walkOn)
  const names = Array.from({ length: 45 }, (_, index) => `n${index}`)
  await Promise.all(
    names.map((name, index) =>
      createInstance((gateways[index % 3] ?? gateways[0]).services.db, { accountId: busy.id, name }),
    ),
  )
  isCreating = false
  for (const seen of await Promise.all(walks)) expect(seen.toSorted()).toEqual(names.toSorted())
})

describe('a page', () => {
  test('tells where it stands', async () => {
    const { instancesConnection } = await pageOf(shop, { first: 2 })
    const { edges, pageInfo } = instancesConnection
    expect(pageInfo).toEqual({
      hasNextPage: true,
      hasPreviousPage: false,
      startCursor: edges[0]?.cursor,
      endCursor: edges[1]?.cursor,
    })
    const last = await pageOf(shop, { first: 3, after: pageInfo.endCursor })
    expect(last.instancesConnection.pageInfo.hasNextPage).toBe(false)
    const beyond = await pageOf(shop, { after: last.instancesConnection.pageInfo.endCursor })
    expect(beyond.instancesConnection).toEqual({
      edges: [],
      pageInfo: { hasNextPage: false, hasPreviousPage: false, startCursor: null, endCursor: null },
    })
  })

  test('has 50 instances unless told otherwise', async () => {
    const account = await accountCreatedAt(Array(60).fill(0))
    for (const variables of [{}, { first: null }]) {
      expect((await pageOf(account, variables)).instancesConnection.edges).toHaveLength(50)
    }
  })

  test.each([
    [{ first: 0 }, 'first'],
    [{ first: -1 }, 'first'],
    [{ first: 201 }, 'first'],
    [{ after: '' }, 'after'],
    [{ after: 'x' }, 'after'],
    [{ after: Buffer.from('1:x').toString('base64url') }, 'after'],
    [{ after: `${Buffer.from(`1:${randomUUID()}`).toString('base64url')}=` }, 'after'],
    [{ after: Buffer.from(`999999999999999:${randomUUID()}`).toString('base64url').slice(0, -1) }, 'after'],
    [{ after: Buffer.from(`${Date.UTC(10_000, 0)}:${randomUUID()}`).toString('base64url') }, 'after'],
    [{ after: Buffer.from(`999999999999999:${randomUUID()}`).toString('base64url') }, 'after'],
  ])('is refused for %j', async (variables, field) => {
    const { errors } = await gateway.post(InstancePageDocument.toString(), shop.token, { variables })
    expect(errors?.[0]?.extensions).toEqual({ code: 'BAD_USER_INPUT', field })
  })

  test('of an instance token is its instance', async () => {
    const own = await shop.instance('own')
    const { instancesConnection } = await pageOf(shop, {}, own.token)
    expect(instancesConnection.edges.map(({ node }) => node.name)).toEqual(['own'])
    expect((await gateway.post('{ instancesConnection { totalCount } }', own.token)).data).toEqual({
      instancesConnection: { totalCount: 1 },
    })
  })

  test('cannot be taken beyond the tenant with a cursor of another', async () => {
    const other = await accountCreatedAt([0, 1, 2])
    const { instancesConnection } = await pageOf(shop, { first: 1 })
    const names = (await pageOf(other, { after: instancesConnection.pageInfo.endCursor })).instancesConnection.edges
    expect(names.every(({ node }) => /^n\d$/.test(node.name))).toBe(true)
  })
})

describe('costs without memory', () => {
  test('one statement, and one more for the count when it is selected', async () => {
    const plain = await startGatewayForTest({ readCacheMb: 0 })
    const account = await seed(plain.services.db).account('shop')
    const rows = await account.instances(4)
    const page = async (after?: string | null) =>
      (await plain.graphql(InstancePageDocument, { first: 2, after }, account.token)).instancesConnection
    const first = await page()
    const second = await page(first.pageInfo.endCursor)
    expect([...first.edges, ...second.edges].map(({ node }) => node.name).toSorted()).toEqual(
      rows.map(({ name }) => name),
    )

    const tables = async (query: string) => {
      plain.statements.length = 0
      expect((await plain.post(query, account.token)).errors).toBeUndefined()
      return plain.statements.map((statement) => statement.replace(/ from .*/, '')).slice(1)
    }
    expect(
      await tables('{ instancesConnection { edges { cursor } nodes { id } pageInfo { endCursor } } }'),
    ).toHaveLength(1)
    expect(await tables('{ instancesConnection { nodes { id } totalCount } }')).toHaveLength(2)
    expect(await tables('{ instancesConnection { totalCount } }')).toEqual([expect.stringContaining('count(*)')])
  })
})

describe.skipIf(!hasPostgres)('with 100,000 instances in one account', () => {
  test('no query plan of the read path reads a table from end to end', { timeout: 120_000 }, async () => {
    const { db } = gateway.services
    const large = await seed(db).account('large')
    await sql`insert into instances (id, account_id, name, created_at)
      select gen_random_uuid(), ${large.id}::uuid, 'n' || n, now() + n * interval '1 ms' from generate_series(1, 100000) n`.execute(
      db,
    )
    await sql`insert into webhooks (id, instance_id, label, enabled, url) select gen_random_uuid(), id, 'default', true, 'https://x.com' from instances`.execute(
      db,
    )
    await sql`insert into proxies (instance_id, enabled, host, port, protocol) select id, true, 'x.com', 1, 'http' from instances`.execute(
      db,
    )
    await sql`insert into settings (instance_id) select id from instances`.execute(db)
    await sql`insert into chatwoots (instance_id, enabled) select id, false from instances`.execute(db)
    await sql`insert into tokens (id, kind, instance_id, digest) select gen_random_uuid(), 'instance', id, sha256(id::text::bytea) from instances where account_id = ${large.id}`.execute(
      db,
    )
    await sql`analyze`.execute(db)

    const viewer = { kind: 'account', accountId: large.id } as const
    const [middle] = await listInstancesByName(db, viewer, ['n50000'])
    if (!middle) throw new Error('no instance in the middle')
    const ids = (await listInstancesAfter(db, viewer, { first: 200, after: middle })).map(({ id }) => id)
    const queries: Record<string, (db: Kysely<DB>) => Promise<unknown>> = {
      'the first page': (on) => listInstancesAfter(on, viewer, { first: 201, after: null }),
      'a page in the middle': (on) => listInstancesAfter(on, viewer, { first: 201, after: middle }),
      'by name': (on) => listInstancesByName(on, viewer, ['n7', 'n8']),
      'by id': (on) => listInstancesById(on, viewer, ids),
      'webhooks of a page': (on) => webhooksOf(on, ids),
      'proxies of a page': (on) => proxiesOf(on, ids),
      'settings of a page': (on) => settingsOf(on, ids),
      'profiles of a page': (on) => profilesOf(on, ids),
      'chatwoots of a page': (on) => chatwootsOf(on, ids),
      'the tokens of an account': (on) => listTokens(on, shop.id),
      'tokens with something open': (on) => listLiveTokens(on, ids),
      'a token': (on) => findTokenByDigest(on, Buffer.alloc(32)),
    }
    for (const [name, query] of Object.entries(queries)) {
      const plan = await planOf(query)
      console.log(`${name}:\n${plan}`)
      expect(plan).not.toContain('Seq Scan')
    }
  })
})

/** The plan of the one statement that a query sends. */
async function planOf(query: (db: Kysely<DB>) => Promise<unknown>): Promise<string> {
  const sent: CompiledQuery[] = []
  const { db, close } = await openDatabase({
    ...gateway.services.config,
    logger: silentLogger,
    onStatement: ({ query: statement }) => sent.push(statement),
  })
  sent.length = 0
  await query(db)
  const [statement] = sent
  if (!statement || sent.length > 1) throw new Error('expected one statement')
  const explain = CompiledQuery.raw(`explain ${statement.sql}`, [...statement.parameters])
  const { rows } = await db.executeQuery<{ 'QUERY PLAN': string }>(explain)
  await close()
  return rows.map((row) => `  ${row['QUERY PLAN']}`).join('\n')
}
