import { sql } from 'kysely'
import { expect, test } from 'vitest'
import { bootstrap } from '../src/bootstrap.ts'
import { startGatewayForTest } from './testkit.ts'

test('a demo that could not be made leaves nothing behind, and the next start makes it', async () => {
  const { services } = await startGatewayForTest()
  const { db, config } = services
  await sql`alter table s3s rename to s3s_elsewhere`.execute(db)
  await expect(bootstrap(db, { ...config, demo: true })).rejects.toThrow('s3s')
  expect(await db.selectFrom('accounts').selectAll().execute()).toEqual([])
  await sql`alter table s3s_elsewhere rename to s3s`.execute(db)
  expect(await bootstrap(db, { ...config, demo: true })).toMatchObject({ kind: 'demo made' })
  expect(await db.selectFrom('instances').select('name').execute()).toHaveLength(4)
})

test('the samples of a demo keep their order, and none was changed before it was made', async () => {
  const { services } = await startGatewayForTest()
  const { db, config } = services
  await bootstrap(db, { ...config, demo: true })
  const samples = await db
    .selectFrom('instances')
    .select(['name', 'created_at', 'updated_at'])
    .orderBy('created_at')
    .execute()
  expect(samples.map(({ name }) => name)).toEqual(['sales', 'support', 'marketing', 'new-number'])
  for (const { created_at, updated_at } of samples) expect(updated_at).toEqual(created_at)
})

test('a start whose port is taken has not made a token that nobody was shown', async () => {
  const running = await startGatewayForTest()
  const port = Number(new URL(running.url).port)
  await expect(
    startGatewayForTest({ port, demo: true, databaseUrl: running.services.config.databaseUrl }),
  ).rejects.toThrow(/Set PORT to a free port/)
  expect(await running.services.db.selectFrom('accounts').selectAll().execute()).toEqual([])
})
