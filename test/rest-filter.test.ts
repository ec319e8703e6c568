import fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { parseInstanceNameQuery } from '../src/instance/filter.ts'
import { type SeededAccount, seed } from './seed.ts'
import { startTestGateway, type TestGateway } from './testkit.ts'

const EXISTING = ['a', 'b', 'ção', '名前', 'two words', 'Ａ', "o'neil", '__proto__', '🙂']

let gateway: TestGateway
let shop: SeededAccount

beforeAll(async () => {
  gateway = await startTestGateway()
  shop = await seed(gateway.services.db).account('shop')
  for (const name of EXISTING) await shop.instance(name)
})
afterAll(() => gateway.close())

const piece = fc.oneof(
  fc.constantFrom(...EXISTING),
  fc.constantFrom(
    '',
    ' ',
    '  ',
    'A',
    'nobody',
    'null',
    'undefined',
    '\u00a0',
    '%',
    '%zz',
    '+',
    '&',
    '=',
    '#',
    '?',
    "';--",
    '\0',
  ),
  fc.string({ unit: 'grapheme', maxLength: 8 }).filter((text) => text.isWellFormed()),
)
const filterText = fc
  .array(fc.tuple(piece, fc.constantFrom('', ' ', '\t')), { maxLength: 6 })
  .map((pieces) => pieces.map(([text, space]) => `${space}${text}${space}`).join(','))

/** The documented rule, said once more and otherwise. */
function expected(values: string[]): { status: number; names: string[] } {
  const text = values.join(',')
  if (text === '') return { status: 200, names: EXISTING }
  const asked = new Set<string>()
  for (const part of text.split(',')) if (part.trim()) asked.add(part.trim())
  const names = EXISTING.filter((name) => asked.has(name))
  return asked.size === 1 && names.length === 0 ? { status: 404, names } : { status: 200, names }
}

test('any filter selects as documented', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(filterText, { minLength: 1, maxLength: 3 }), async (values) => {
      const query = values.map((value) => `instanceName=${encodeURIComponent(value)}`).join('&')
      const response = await gateway.get(`/api/instance/list?${query}`, shop.token)
      const body = (await response.json()) as { instances?: { name: string }[] }
      const answer = { status: response.status, names: (body.instances ?? []).map(({ name }) => name) }
      expect(answer).toEqual(expected(values))
    }),
    { numRuns: 300 },
  )
})

test('any bytes in the query give an answer of the route, never a failure', async () => {
  const bytes = fc.string({ unit: 'binary-ascii', maxLength: 40 }).map((text) => text.replace(/[\0-\x20#\x7f]/g, ''))
  await fc.assert(
    fc.asyncProperty(bytes, async (text) => {
      const response = await gateway.get(`/api/instance/list?instanceName=${text}`, shop.token)
      expect([200, 404]).toContain(response.status)
      await response.arrayBuffer()
    }),
    { numRuns: 200 },
  )
})

test('what is parsed is trimmed, not empty and without repeats', () => {
  fc.assert(
    fc.property(fc.webQueryParameters(), fc.array(filterText), (noise, values) => {
      const query = [noise, ...values.map((value) => `instanceName=${encodeURIComponent(value)}`)].join('&')
      const filter = parseInstanceNameQuery(query)
      if (filter === 'all' || filter === 'too long') return
      expect(new Set(filter).size).toBe(filter.length)
      for (const name of filter) expect(name).toBe(name.trim())
      expect(filter).not.toContain('')
    }),
  )
})

test('a broken escape stays as it is written', () => {
  expect(parseInstanceNameQuery('instanceName=100%,%zz,%4')).toEqual(['100%', '%zz', '%4'])
})
