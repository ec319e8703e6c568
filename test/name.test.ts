import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { parseName } from '../src/name.ts'

describe('a name is stored', () => {
  test.each([
    ['sales', 'sales'],
    ['sales', '  sales '],
    ['two words', 'two words'],
    ['ação', 'a\u0063\u0327a\u0303o'],
    ['名前', '名前'],
    ['🙂', '🙂'],
    ["o'neil & co.", "o'neil & co."],
    ['__proto__', '__proto__'],
    ['...', '...'],
    ['x'.repeat(100), 'x'.repeat(100)],
    ['🙂'.repeat(100), '🙂'.repeat(100)],
  ])('%s', (stored, given) => expect(parseName(given)).toBe(stored))
})

describe('a name is refused', () => {
  test.each([
    '',
    ' ',
    '.',
    '..',
    'a,b',
    'a/b',
    'a\\b',
    'a?b',
    'a#b',
    'a%b',
    'a  b',
    'a\u00a0b',
    'a\u3000b',
    'a\tb',
    'a\nb',
    'a\0b',
    'a\u200bb',
    'a\u202eb',
    'a\u00adb',
    'a\ue000b',
    'a\ud800b',
    'a\u2028b',
    'x'.repeat(101),
    '🙂'.repeat(101),
    'x'.repeat(1_000_000),
  ])('%j', (given) => expect(parseName(given)).toBeNull())
})

test('what is stored is stored again as itself', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 120 }), (text) => {
      const name = parseName(text)
      if (name === null) return
      expect(parseName(name)).toBe(name)
      expect(name).not.toMatch(/[,/\\?#%\p{C}]/u)
      expect(name.isWellFormed()).toBe(true)
    }),
  )
})
