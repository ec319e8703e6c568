import { expect, test } from 'vitest'
import { banner } from '../src/banner.ts'

const gateway = {
  url: 'http://127.0.0.1:4000',
  node: null,
  firstContact: { kind: 'demo made', token: 'sba_token' },
} as const

test('the banner names the database, and not who has it', () => {
  const databaseUrl = 'postgres://shop:hunter2@db.example.com:6432/switchboard'
  const text = banner(gateway, { graphiql: true, databaseUrl, dataDir: 'data' })
  expect(text).toContain('  Database:  switchboard at db.example.com:6432\n')
  expect(text).not.toMatch(/hunter2|shop/)
})

test.each([
  ['the embedded database', null, 'DEMO=false on a new DATA_DIR to begin empty.'],
  ['PostgreSQL', 'postgres://x', 'DEMO=false on an empty database to begin empty.'],
])('on %s the banner says how to begin without the demo', (_which, databaseUrl, advice) => {
  expect(banner(gateway, { graphiql: true, databaseUrl, dataDir: 'data' })).toContain(advice)
})
