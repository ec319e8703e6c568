import { expect, test } from 'vitest'
import { banner } from '../src/banner.ts'

const gateway = {
  url: 'http://127.0.0.1:4000',
  node: null,
  firstContact: { kind: 'demo made', token: 'sba_token' },
} as const

test.each([
  ['the embedded database', null, 'DEMO=false on a new DATA_DIR to begin empty.'],
  ['PostgreSQL', 'postgres://x', 'DEMO=false on an empty database to begin empty.'],
])('on %s the banner says how to begin without the demo', (_which, databaseUrl, advice) => {
  expect(banner(gateway, { graphiql: true, databaseUrl, dataDir: 'data' })).toContain(advice)
})
