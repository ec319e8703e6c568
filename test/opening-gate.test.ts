import { setTimeout } from 'node:timers/promises'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { OpeningGate } from '../src/session/opening-gate.ts'

afterEach(() => void vi.restoreAllMocks())

const never = () => new AbortController().signal

/** Without it, pauses of up to 100 ms lie between one that is let in and the next. */
const withoutJitter = () => vi.spyOn(Math, 'random').mockReturnValue(0)

/** A gate, with a count of who is inside. */
function watchGate(max: number) {
  const gate = new OpeningGate(max)
  const watched = {
    inside: 0,
    most: 0,
    order: [] as string[],
    /** Goes in, stays for a while, and leaves. */
    visit: async (name: string, { ms = 5, isUrgent = false, signal = never() } = {}) => {
      const leave = await gate.enter(signal, isUrgent)
      if (!leave) return false
      watched.order.push(name)
      watched.most = Math.max(watched.most, ++watched.inside)
      await setTimeout(ms)
      watched.inside--
      leave()
      return true
    },
    /** Goes in, and stays. */
    stay: async () => {
      const leave = await gate.enter(never(), false)
      watched.inside++
      return leave
    },
  }
  return watched
}

/** Keeps the event loop late until it is told to stop. */
function blockLoop(ms: number): () => void {
  let isOn = true
  const block = () => {
    const end = performance.now() + ms
    while (performance.now() < end);
    if (isOn) setImmediate(() => globalThis.setTimeout(block, 1))
  }
  block()
  return () => {
    isOn = false
  }
}

test('all of 200 get in, never more than 8 at a time', async () => {
  withoutJitter()
  const gate = watchGate(8)
  const visits = await Promise.all(Array.from({ length: 200 }, (_, index) => gate.visit(String(index), { ms: 30 })))
  expect(visits).toEqual(Array(200).fill(true))
  expect(gate.most).toBe(8)
  expect(gate.order).toEqual(Array.from({ length: 200 }, (_, index) => String(index)))
})

test('they do not go in together', async () => {
  const gate = watchGate(8)
  const times: number[] = []
  await Promise.all(
    Array.from({ length: 8 }, async () => {
      await gate.stay()
      times.push(performance.now())
    }),
  )
  // Seven pauses of 50 ms on average.
  expect((times.at(-1) ?? 0) - (times[0] ?? 0)).toBeGreaterThan(50)
})

test('whoever is waited for goes first', async () => {
  withoutJitter()
  const gate = watchGate(1)
  const first = gate.visit('first', { ms: 50 })
  await setTimeout(10)
  const others = ['second', 'third'].map((name) => gate.visit(name))
  const urgent = ['now', 'at once'].map((name) => gate.visit(name, { isUrgent: true }))
  await Promise.all([first, ...others, ...urgent])
  expect(gate.order).toEqual(['first', 'now', 'at once', 'second', 'third'])
})

test('whoever gives up while waiting does not get in and holds nobody up', async () => {
  withoutJitter()
  const gate = watchGate(1)
  const abort = new AbortController()
  const first = gate.visit('first', { ms: 50 })
  const gone = gate.visit('gone', { signal: abort.signal })
  const last = gate.visit('last')
  await setTimeout(10)
  abort.abort()
  expect(await gone).toBe(false)
  expect(await gate.visit('never came', { signal: abort.signal })).toBe(false)
  expect(await Promise.all([first, last])).toEqual([true, true])
  expect(gate.order).toEqual(['first', 'last'])
})

test('leaving twice gives one place back', async () => {
  withoutJitter()
  const gate = watchGate(2)
  const [leave] = await Promise.all([gate.stay(), gate.stay()])
  leave?.()
  leave?.()
  await Promise.all(['one', 'two', 'three'].map((name) => gate.visit(name)))
  // One stays all the while, beside one visitor at a time.
  expect(gate.most).toBe(2 + 1)
})

describe('while the event loop is late', () => {
  test('nothing is opened beside what is opening, and everything is once it is in time again', async () => {
    withoutJitter()
    const gate = watchGate(8)
    await gate.stay()
    const release = blockLoop(250)
    const others = Promise.all(Array.from({ length: 7 }, () => gate.stay()))
    await setTimeout(2_500)
    const insideMeanwhile = gate.inside
    release()
    await others
    // All would be inside by now; one may slip in between two delays.
    expect(insideMeanwhile).toBeLessThanOrEqual(4)
    expect(gate.inside).toBe(8)
  })

  test('one that hangs does not hold up the next one for ever', async () => {
    const gate = watchGate(8)
    await gate.stay()
    const release = blockLoop(250)
    expect(await gate.visit('next')).toBe(true)
    release()
  })

  test('one is opened all the same, when nothing is', async () => {
    const gate = watchGate(8)
    const release = blockLoop(250)
    for (let index = 0; index < 3; index++) expect(await gate.visit(String(index))).toBe(true)
    release()
  })
})

describe('when everybody has gone', () => {
  const timers = () => process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length
  /** Longer than any pause of the gate. The runner has timers of its own. */
  const expectNoMoreThan = async (before: number) => {
    await setTimeout(200)
    expect(timers()).toBeLessThanOrEqual(before)
  }

  test('no timer is left', async () => {
    const before = timers()
    const gate = watchGate(2)
    await Promise.all(Array.from({ length: 5 }, (_, index) => gate.visit(String(index))))
    await expectNoMoreThan(before)
  })

  test('the same holds when the last one has given up', async () => {
    const before = timers()
    const gate = watchGate(1)
    const abort = new AbortController()
    const leave = await gate.stay()
    const waiting = gate.visit('waiting', { signal: abort.signal })
    leave?.()
    abort.abort()
    expect(await waiting).toBe(false)
    await expectNoMoreThan(before)
  })
})
