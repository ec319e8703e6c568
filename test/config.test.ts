import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { ConfigError, readConfig, VARIABLES } from '../src/config.ts'
import { TEST_KEY } from './testkit.ts'

const mistakesOf = (env: Record<string, string>, purpose: 'gateway' | 'command' = 'gateway') => {
  try {
    readConfig(purpose, env)
  } catch (error) {
    if (error instanceof ConfigError) return error.message
    throw error
  }
  return ''
}

test('an empty environment is enough to try the gateway', () => {
  expect(readConfig('gateway', {})).toMatchObject({
    host: '127.0.0.1',
    port: 4000,
    databaseUrl: null,
    demo: true,
    corsOrigins: [],
    rateLimitPerMinute: 100,
    trustProxy: 0,
    introspection: true,
    graphiql: true,
    allowPrivateAddresses: false,
    logLevel: 'info',
  })
})

test('a PostgreSQL address that a character of the password breaks is told how to write it', () => {
  const message = mistakesOf({ DATABASE_URL: 'postgres://u:SECRET/x@h/d', ENCRYPTION_KEY: TEST_KEY })
  expect(message).toMatch(
    / DATABASE_URL has a value that cannot be used: .* each \/ .* of the password written as %2F /,
  )
  expect(message).not.toContain('SECRET')
})

test('an empty variable counts as absent', () => {
  expect(readConfig('gateway', { PORT: '', DATABASE_URL: ' ', DEMO: '' })).toMatchObject({
    port: 4000,
    databaseUrl: null,
    demo: true,
  })
})

test('a server database has no demo unless it is asked for', () => {
  const env = { DATABASE_URL: 'postgres://u@h/d', ENCRYPTION_KEY: TEST_KEY }
  expect(readConfig('gateway', env).demo).toBe(false)
  expect(readConfig('gateway', { ...env, DEMO: 'true' }).demo).toBe(true)
})

test('a server database needs a key to seal secrets with, for the gateway but not for operator commands', () => {
  const env = { DATABASE_URL: 'postgres://u@h/d' }
  expect(mistakesOf(env)).toMatch(
    /ENCRYPTION_KEY is not set: .* Example: ENCRYPTION_KEY=the output of `openssl rand -base64 32`/,
  )
  expect(mistakesOf(env, 'command')).toBe('')
})

test('many nodes share a server database: Redis beside the embedded one is a mistake', () => {
  expect(mistakesOf({ REDIS_URL: 'redis://h' })).toMatch(/DATABASE_URL is not set: it is needed beside REDIS_URL/)
  expect(mistakesOf({ REDIS_URL: 'redis://h' }, 'command')).toBe('')
  expect(
    readConfig('gateway', { REDIS_URL: 'redis://h', DATABASE_URL: 'postgres://u@h/d', ENCRYPTION_KEY: TEST_KEY }),
  ).toMatchObject({ redisUrl: 'redis://h', nodeAddress: null, metricsPort: null })
})

test.each([
  ['gateway-1', { host: 'gateway-1', port: 0 }],
  ['10.0.0.5:4100', { host: '10.0.0.5', port: 4100 }],
  ['[fd00::5]:4100', { host: 'fd00::5', port: 4100 }],
])('other nodes reach this one at NODE_ADDRESS=%s', (address, nodeAddress) => {
  const env = { REDIS_URL: 'redis://h', DATABASE_URL: 'postgres://u@h/d', ENCRYPTION_KEY: TEST_KEY }
  expect(readConfig('gateway', { ...env, NODE_ADDRESS: address }).nodeAddress).toEqual(nodeAddress)
})

test('NODE_ADDRESS without REDIS_URL is a mistake, since nobody would ever use it', () => {
  expect(mistakesOf({ NODE_ADDRESS: '10.0.0.5:4100' })).toMatch(
    /REDIS_URL is not set: it is needed beside NODE_ADDRESS.* unset NODE_ADDRESS\. Example: REDIS_URL=/,
  )
  expect(mistakesOf({ NODE_ADDRESS: '10.0.0.5:4100' }, 'command')).toBe('')
})

describe('mistakes', () => {
  test('are reported all at once, each with the variable, what was wrong and an example', () => {
    const message = mistakesOf({ PORT: '70000', TRUST_PROXY: 'yes', CORS_ORIGINS: '*', LOG_LEVEL: 'loud' })
    expect(message).toMatch(/has 4 mistakes/)
    expect(message).toContain('PORT is "70000": expected a whole number from 0 to 65535. Example: PORT=4000')
    expect(message).toContain('TRUST_PROXY is "yes": expected a whole number from 0 to 10. Example: TRUST_PROXY=1')
    expect(message).toContain('CORS_ORIGINS is "*": expected origins')
    expect(message).toContain('LOG_LEVEL is "loud": expected one of fatal, ')
  })

  test.each([
    ['PORT', ['-1', '1.5', '4000x', '0x10', '99999999999999999999']],
    ['DATABASE_URL', ['mysql://u:SECRET@h/d', 'SECRET', 'postgres://']],
    ['ENCRYPTION_KEY', ['SECRET', `${TEST_KEY}=`, Buffer.alloc(31).toString('base64'), TEST_KEY.slice(0, -1)]],
    ['ENCRYPTION_KEY_PREVIOUS', ['SECRET']],
    [
      'BOOTSTRAP_TOKEN',
      [
        'SECRET',
        `sba_${'x'.repeat(40)}`,
        `sbi_${'x'.repeat(40)}`,
        `${'x'.repeat(32)} y`,
        'é'.repeat(40),
        'x'.repeat(257),
      ],
    ],
    ['DEMO', ['yes', '1', 'TRUE']],
    [
      'CORS_ORIGINS',
      [
        '*',
        'example.com',
        'https://example.com/',
        'https://example.com/path',
        'https://a.com,*',
        'ftp://a.com',
        'null',
      ],
    ],
    ['RATE_LIMIT_PER_MINUTE', ['0', '-5', 'many']],
    ['REDIS_URL', ['SECRET', 'http://SECRET@h']],
    ['NODE_ADDRESS', ['http://h', 'h:', 'h:70000', 'h/path', '::1', 'user@h']],
    ['METRICS_PORT', ['-1', '70000', 'on']],
    ['LOG_FORMAT', ['xml']],
  ])('%s refuses what it cannot use, and no secret is printed', (name, values) => {
    for (const value of values) {
      const message = mistakesOf({ [name]: value })
      // DATABASE_URL without a key is a mistake of its own.
      if (value === 'postgres://') continue
      expect(message).toContain(`  ${name} `)
      if (/URL|KEY|TOKEN/.test(name)) expect(message).not.toContain(value)
    }
  })
})

test('several origins are accepted', () => {
  expect(readConfig('gateway', { CORS_ORIGINS: 'https://a.example.com, http://localhost:3000' }).corsOrigins).toEqual([
    'https://a.example.com',
    'http://localhost:3000',
  ])
})

test('.env.example and the README name every variable that the code reads, with its default, and no other', () => {
  const example = readFileSync('.env.example', 'utf8')
  const named = [...example.matchAll(/^#? ?([A-Z][A-Z_]+)=/gm)].map(([, name]) => name)
  expect(named.toSorted()).toEqual(VARIABLES.toSorted())
  const readme = readFileSync('README.md', 'utf8')
  const inTable = [...readme.matchAll(/^\| `([A-Z][A-Z_]+)` +\|/gm)].map(([, name]) => name)
  expect(inTable.toSorted()).toEqual(VARIABLES.toSorted())
})

test('.env.example is a configuration that works once its comments are taken away', () => {
  const env = Object.fromEntries(
    [...readFileSync('.env.example', 'utf8').matchAll(/^([A-Z][A-Z_]+)=(.*)$/gm)].map(([, name, value]) => [
      name,
      value,
    ]),
  )
  expect(readConfig('gateway', env)).toEqual(readConfig('gateway', {}))
})
