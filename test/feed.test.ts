import fc from 'fast-check'
import { describe, expect, test, vi } from 'vitest'
import { ConnectionFeed } from '../src/connection/feed.ts'
import { MergedTicks } from '../src/connection/merged-ticks.ts'
import { statusAtRest } from '../src/connection/rest.ts'
import type { ConnectionStatus } from '../src/connection/state.ts'
import type { ConnectionTick } from '../src/connection/tick.ts'
import { Topics } from '../src/events.ts'
import type { Instance } from '../src/instance/queries.ts'
import { PairingFeed } from '../src/pairing/feed.ts'
import type { PairingStep } from '../src/pairing/step.ts'
import { Pull } from '../src/pull.ts'

const instanceOf = (id: string): Instance => ({
  id,
  accountId: 'account',
  name: id,
  createdAt: new Date(0),
  updatedAt: new Date(0),
  desiredState: 'disconnected',
  numberJid: null,
  pairedAt: null,
  loggedOutAt: null,
  stopReason: null,
  stopWhatsappCode: null,
  stoppedAt: null,
})

/** Instances whose present state is a number that rises. */
function world() {
  const sequences = new Map<string, number>()
  const statusOf = ({ id }: { id: string }): ConnectionStatus => ({
    ...statusAtRest(instanceOf(id), new Date(0), sequences.get(id) ?? 0),
  })
  const step = (id: string) => sequences.set(id, (sequences.get(id) ?? 0) + 1)
  const tick = (kind: 'added' | 'changed', id: string): ConnectionTick => {
    step(id)
    return { kind, instance: instanceOf(id) }
  }
  const removed = (id: string): ConnectionTick => {
    step(id)
    return { kind: 'removed', instance: instanceOf(id), last: statusOf({ id }) }
  }
  return { statusOf, tick, removed, sequences }
}

/** A feed of everything, with its events in short: kind, instance, sequence, what remains. */
function feedOf(statusOf: (instance: Instance) => ConnectionStatus, covers = (_instance: Instance) => true) {
  const feed = new ConnectionFeed(covers, statusOf)
  const take = () => {
    const event = feed.take()
    return event && `${event.kind} ${event.instance.id}${event.connection.sequence} ${event.snapshotRemaining}`
  }
  const takeAll = () => {
    const events: string[] = []
    for (let event = take(); event; event = take()) events.push(event)
    return events
  }
  return { feed, take, takeAll }
}

describe('the feed of connections', () => {
  test('tells nothing before its rows are read, then the snapshot in their order, then what came meanwhile', () => {
    const { statusOf, tick } = world()
    const { feed, take, takeAll } = feedOf(statusOf)
    feed.note(tick('added', 'c'))
    expect(take()).toBeNull()
    feed.begin([instanceOf('a'), instanceOf('b')])
    expect(takeAll()).toEqual(['snapshot a0 1', 'snapshot b0 0', 'added c1 0'])
  })

  test('tells an instance once that is in the snapshot and was announced, too', () => {
    const { statusOf, tick } = world()
    const { feed, takeAll } = feedOf(statusOf)
    feed.note(tick('added', 'a'))
    feed.begin([instanceOf('a')])
    expect(takeAll()).toEqual(['snapshot a1 0'])
    feed.note({ kind: 'added', instance: instanceOf('a') })
    expect(takeAll()).toEqual([])
  })

  test('says nothing of what was removed before the rows were read, and counts down past what is removed later', () => {
    const { statusOf, removed } = world()
    const { feed, take, takeAll } = feedOf(statusOf)
    feed.note(removed('a'))
    feed.begin([instanceOf('a'), instanceOf('b'), instanceOf('c')])
    expect(take()).toBe('snapshot b0 1')
    feed.note(removed('c'))
    expect(takeAll()).toEqual(['removed c1 0'])
  })

  test('shows the state of the moment in which an event is taken, and no state twice', () => {
    const { statusOf, tick } = world()
    const { feed, takeAll } = feedOf(statusOf)
    feed.begin([instanceOf('a')])
    for (let flip = 0; flip < 10_000; flip++) feed.note(tick('changed', 'a'))
    expect(feed.size).toBe(2)
    expect(takeAll()).toEqual(['snapshot a10000 0'])
    feed.note(tick('changed', 'a'))
    feed.note(tick('changed', 'a'))
    expect(takeAll()).toEqual(['changed a10002 0'])
  })

  test('lets nothing supersede a removal, and forgets what was never told', () => {
    const { statusOf, tick, removed } = world()
    const { feed, takeAll } = feedOf(statusOf)
    feed.begin([instanceOf('a')])
    takeAll()
    feed.note(removed('a'))
    feed.note(tick('changed', 'a'))
    feed.note(tick('added', 'b'))
    feed.note(removed('b'))
    expect(takeAll()).toEqual(['removed a1 0'])
  })

  test('takes a change of an instance that it does not know for its arrival', () => {
    const { statusOf, tick } = world()
    const { feed, takeAll } = feedOf(statusOf)
    feed.begin([])
    feed.note(tick('changed', 'a'))
    expect(takeAll()).toEqual(['added a1 0'])
  })

  test('keeps nothing of instances that it does not cover', () => {
    const { statusOf, tick } = world()
    const { feed, takeAll } = feedOf(statusOf, ({ id }) => id === 'a')
    feed.begin([])
    feed.note(tick('added', 'a'))
    feed.note(tick('added', 'b'))
    expect(feed.size).toBe(1)
    expect(takeAll()).toEqual(['added a1 0'])
  })

  test('whatever happens and however slowly it is read: sequences rise, what is kept is bounded, the last state arrives', () => {
    const ids = ['a', 'b', 'c']
    const action = fc.record({ id: fc.constantFrom(...ids), what: fc.constantFrom('change', 'take', 'remove', 'add') })
    fc.assert(
      fc.property(fc.array(action, { maxLength: 60 }), fc.nat(10), (actions, beginAt) => {
        const { statusOf, tick, removed, sequences } = world()
        const { feed } = feedOf(statusOf)
        const alive = new Set(['a', 'b'])
        const gone = new Set<string>()
        const seen = new Map<string, number>()
        let expected: number | null = null
        const take = () => {
          const event = feed.take()
          if (!event) return false
          const { instance, connection, kind, snapshotRemaining } = event
          expect(connection.sequence).toBeGreaterThan(seen.get(instance.id) ?? -1)
          if (expected !== null && expected > 0) expect(snapshotRemaining).toBe(expected - 1)
          expected = snapshotRemaining
          if (kind === 'removed') seen.delete(instance.id)
          else seen.set(instance.id, connection.sequence)
          return true
        }
        actions.forEach(({ id, what }, index) => {
          if (index === beginAt) feed.begin([...alive].map(instanceOf))
          if (what === 'take') take()
          else if (what === 'add' && !alive.has(id) && !gone.has(id)) {
            alive.add(id)
            feed.note(tick('added', id))
          } else if (what === 'change' && alive.has(id)) feed.note(tick('changed', id))
          else if (what === 'remove' && alive.delete(id)) {
            gone.add(id)
            feed.note(removed(id))
          }
          expect(feed.size).toBeLessThanOrEqual(2 * ids.length)
        })
        if (actions.length <= beginAt) feed.begin([...alive].map(instanceOf))
        while (take());
        expect(expected ?? 0).toBe(0)
        expect(seen).toEqual(new Map([...alive].map((id) => [id, sequences.get(id) ?? 0])))
      }),
    )
  })
})

describe('merging', () => {
  const merged = () => {
    vi.useFakeTimers()
    const { tick, removed } = world()
    const topics = new Topics<ConnectionTick>()
    const merging = new MergedTicks(topics)
    const told: string[] = []
    const stop = merging.subscribe('account', ({ kind, instance }) => told.push(`${kind} ${instance.id}`))
    const publish = (ticked: ConnectionTick) => topics.publish('account', ticked)
    const change = (id: string) => publish(tick('changed', id))
    return { topics, merging, told, stop, publish, change, tick, removed }
  }
  const finish = ({ topics, stop }: ReturnType<typeof merged>) => {
    stop()
    expect(topics.size).toBe(0)
    expect(vi.getTimerCount()).toBe(0)
    vi.useRealTimers()
  }

  test('tells the first change at once, and later ones once in 200 ms, to the last', () => {
    const all = merged()
    for (let ms = 0; ms < 1_000; ms++) {
      for (let flip = 0; flip < 10; flip++) all.change('a')
      vi.advanceTimersByTime(1)
    }
    vi.advanceTimersByTime(1_000)
    expect(all.told).toHaveLength(1 + 5)
    const before = all.told.length
    all.change('a')
    expect(all.told).toHaveLength(before + 1)
    finish(all)
  })

  test('merges each instance by itself, and delays no arrival and no removal', () => {
    const all = merged()
    all.change('a')
    all.change('a')
    all.change('b')
    all.publish(all.tick('added', 'c'))
    all.publish(all.removed('a'))
    vi.advanceTimersByTime(1_000)
    expect(all.told).toEqual(['changed a', 'changed b', 'added c', 'removed a'])
    finish(all)
  })

  test('listens once for all readers of an account, and to nobody without one', () => {
    const all = merged()
    const stops = Array.from({ length: 100 }, () => all.merging.subscribe('account', () => {}))
    expect(all.topics.size).toBe(1)
    for (const stop of stops) {
      stop()
      stop()
    }
    expect(all.topics.size).toBe(1)
    finish(all)
  })
})

describe('an iterator that is pulled', () => {
  test('waits for what is new, and ends every wait when it is returned', async () => {
    const items: number[] = []
    const stop = vi.fn<() => void>()
    const pull = new Pull(() => items.shift() ?? null, stop)
    const [first, second] = [pull.next(), pull.next()]
    items.push(1)
    pull.wake()
    expect(await first).toEqual({ done: false, value: 1 })
    await pull.return()
    await pull.return()
    expect(await second).toEqual({ done: true, value: undefined })
    expect(stop).toHaveBeenCalledOnce()
    items.push(2)
    expect(await pull.next()).toEqual({ done: true, value: undefined })
  })
})

describe('the feed of a pairing', () => {
  const qr = (ordinal: number): PairingStep => ({ kind: 'qr', value: `qr ${ordinal}`, ordinal, expiresAt: new Date(0) })
  const success: PairingStep = { kind: 'succeeded', numberJid: '1@s.whatsapp.net' }

  test('begins with the present step and skips to the newest', () => {
    const feed = new PairingFeed(qr(1))
    expect(feed.take()).toEqual(qr(1))
    expect(feed.take()).toBeNull()
    feed.note(qr(2))
    feed.note(qr(3))
    expect(feed.take()).toEqual(qr(3))
  })

  test('ends with the outcome, whatever follows it', () => {
    const feed = new PairingFeed(null)
    feed.note(qr(1))
    feed.note(success)
    feed.note(qr(1))
    expect(feed.take()).toEqual(success)
    feed.note(qr(2))
    expect(feed.take()).toEqual(success)
  })
})
