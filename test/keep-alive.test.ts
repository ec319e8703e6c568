import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { KeepAlive } from '../src/graphql/keep-alive.ts'

const PING_MS = 12_000

beforeEach(() => void vi.useFakeTimers())
afterEach(() => void vi.useRealTimers())

const openMany = (count: number) => {
  const open = new KeepAlive<{ ping(): void }>(PING_MS)
  const pings: number[] = []
  const members = Array.from({ length: count }, (_, index) => ({ ping: () => void pings.push(index) }))
  for (const member of members) open.add(member)
  return { open, members, pings }
}

test('what is open is pinged once in the time, a twelfth of it in each twelfth of the time', () => {
  const { pings } = openMany(24)
  vi.advanceTimersByTime(PING_MS / 12)
  expect(pings).toHaveLength(2)
  vi.advanceTimersByTime((PING_MS / 12) * 11)
  expect(pings.toSorted((a, b) => a - b)).toEqual(Array.from({ length: 24 }, (_, index) => index))
  vi.advanceTimersByTime(PING_MS)
  expect(pings).toHaveLength(48)
})

test('what has closed is pinged no more, also when it says so twice or while others are pinged', () => {
  const { open, members, pings } = openMany(3)
  const [first, second, third] = members
  if (!first || !second || !third) throw new Error('There are three')
  open.delete(first)
  open.delete(first)
  second.ping = () => void open.delete(second)
  vi.advanceTimersByTime(2 * PING_MS)
  expect(pings).toEqual([2, 2])
  expect([...open]).toEqual([third])
})

test('a timer runs while anything is open', () => {
  const { open, members } = openMany(13)
  expect([...open]).toHaveLength(13)
  expect(vi.getTimerCount()).toBe(1)
  for (const member of members) open.delete(member)
  expect(vi.getTimerCount()).toBe(0)
  open.add({ ping: () => {} })
  expect(vi.getTimerCount()).toBe(1)
})
