import { describe, expect, test } from 'vitest'
import { pauseBefore } from '../src/session/backoff.ts'

const SECOND = 1_000
const MINUTE = 60_000
const shortest = () => 0
/** As near to 1 as a random number comes. */
const longest = () => 1 - Number.EPSILON

const range = (failures: number, pause: 'short' | 'long') =>
  [shortest, longest].map((random) => pauseBefore(failures, pause, random))

describe('a short pause', () => {
  test('is anything up to a ceiling, which doubles from one second to five minutes', () => {
    const ceilings = Array.from({ length: 11 }, (_, failures) => range(failures, 'short'))
    expect(ceilings).toEqual([1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300].map((seconds) => [0, seconds * SECOND]))
  })

  test('stays below five minutes however often it has failed', () => {
    for (const failures of [20, 1_000, 10_000, Number.MAX_SAFE_INTEGER]) {
      expect(range(failures, 'short')).toEqual([0, 5 * MINUTE])
    }
  })
})

describe('a long pause', () => {
  test('is a minute at least, and as much again as it has failed', () => {
    expect(range(0, 'long')).toEqual([MINUTE, 2 * MINUTE])
    expect(range(7, 'long')).toEqual([MINUTE, MINUTE + 128 * SECOND])
    expect(range(10_000, 'long')).toEqual([MINUTE, 6 * MINUTE])
  })
})

test('sessions that failed together come back spread over all of the time', () => {
  const pauses = Array.from({ length: 2_000 }, () => pauseBefore(6, 'short'))
  const eighths = Array.from({ length: 8 }, (_, index) =>
    pauses.filter((pause) => Math.floor((pause / (64 * SECOND)) * 8) === index),
  )
  // 250 are expected of each; 150 is more than six standard deviations away.
  for (const { length } of eighths) expect(length).toBeGreaterThan(150)
})
