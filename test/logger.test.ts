import { expect, test } from 'vitest'
import { describeError } from '../src/logger.ts'

const shown = (error: unknown) => JSON.parse(JSON.stringify(describeError(error) ?? null))

test('the log shows of an error what it is and why, and nothing that hangs on it', () => {
  const client = { host: 'db.internal', processID: 4711, secretKey: 815 }
  const error = Object.assign(new TypeError('it broke', { cause: Object.assign(new Error('reset'), { client }) }), {
    client,
    code: 'ECONNRESET',
    detail: 'Key (name)=(secret) exists',
  })
  expect(shown(error)).toEqual({
    type: 'TypeError',
    message: 'it broke',
    code: 'ECONNRESET',
    stack: expect.stringContaining('logger.test.ts'),
    cause: { type: 'Error', message: 'reset', stack: expect.any(String) },
  })
})

test('the log shows every error of several, and the end of a chain without one', () => {
  const circular = new Error('circular')
  circular.cause = circular
  expect(shown(new AggregateError([new Error('one'), circular]))).toMatchObject({
    errors: [{ message: 'one' }, { message: 'circular', cause: { message: 'circular' } }],
  })
})

test.each([
  ['a text', 'a text'],
  [{ password: 'x' }, '[object Object]'],
  [null, 'null'],
])('the log shows of %j, which is no error, only its text', (thrown, text) => {
  expect(shown(thrown)).toBe(text)
})
