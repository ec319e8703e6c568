import fc from 'fast-check'
import { describe, expect, onTestFinished, test, vi } from 'vitest'
import { ConnectionLog } from '../src/connection/log.ts'
import { ConnectionLogs } from '../src/connection/logs.ts'
import { MergedTicks } from '../src/connection/merged-ticks.ts'
import { statusAtRest } from '../src/connection/rest.ts'
import type { ConnectionStatus } from '../src/connection/state.ts'
import type { ConnectionTick } from '../src/connection/tick.ts'
import { Topics } from '../src/events.ts'
import type { Instance } from '../src/instance/queries.ts'
import { PairingFeed } from '../src/pairing/feed.ts'
import type { PairingStep } from '../src/pairing/step.ts'
import { Source } from '../src/source.ts'

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

/** A log of everything with a reader, whose events are told in short: kind, instance, sequence, what remains. */
function logOf(statusOf: (instance: Instance) => ConnectionStatus, covers = (_instance: Instance) => true) {
  const log = new ConnectionLog(covers, statusOf)
  const open = () => {
    const reader = log.read()
    const take = () => {
      const event = reader.take()
      return event && `${event.kind} ${event.instance.id}${event.connection.sequence} ${event.snapshotRemaining}`
    }
    const takeAll = () => {
      const events: string[] = []
      for (let event = take(); event; event = take()) events.push(event)
      return events
    }
    return { reader, begin: (...ids: string[]) => reader.begin(ids.map(instanceOf)), take, takeAll }
  }
  return { log, open, ...open() }
}

describe('the log of connections', () => {
  test('tells nothing before its rows are read, then the snapshot in their order, then what came meanwhile', () => {
    const { statusOf, tick } = world()
    const { log, begin, take, takeAll } = logOf(statusOf)
    log.note(tick('added', 'c'))
    expect(take()).toBeNull()
    begin('a', 'b')
    expect(takeAll()).toEqual(['snapshot a0 1', 'snapshot b0 0', 'added c1 0'])
  })

  test('tells an instance once that is in the snapshot and was announced, too', () => {
    const { statusOf, tick } = world()
    const { log, begin, takeAll } = logOf(statusOf)
    log.note(tick('added', 'a'))
    begin('a')
    expect(takeAll()).toEqual(['snapshot a1 0'])
    log.note({ kind: 'added', instance: instanceOf('a') })
    expect(takeAll()).toEqual([])
  })

  test('says nothing of what was removed before the rows were read, and counts down past what is removed later', () => {
    const { statusOf, removed } = world()
    const { log, begin, take, takeAll } = logOf(statusOf)
    log.note(removed('a'))
    begin('a', 'b', 'c')
    expect(take()).toBe('snapshot b0 1')
    log.note(removed('c'))
    expect(takeAll()).toEqual(['removed c1 0'])
  })

  test('shows the state of the moment in which an event is taken, and no state twice', () => {
    const { statusOf, tick } = world()
    const { log, begin, takeAll } = logOf(statusOf)
    begin('a')
    for (let flip = 0; flip < 10_000; flip++) log.note(tick('changed', 'a'))
    expect(log.size).toBeLessThan(100)
    expect(takeAll()).toEqual(['snapshot a10000 0'])
    log.note(tick('changed', 'a'))
    log.note(tick('changed', 'a'))
    expect(takeAll()).toEqual(['changed a10002 0'])
  })

  test('lets nothing supersede a removal, and forgets what was never told', () => {
    const { statusOf, tick, removed } = world()
    const { log, begin, takeAll } = logOf(statusOf)
    begin('a')
    takeAll()
    log.note(removed('a'))
    log.note(tick('changed', 'a'))
    log.note(tick('added', 'b'))
    log.note(removed('b'))
    expect(takeAll()).toEqual(['removed a1 0'])
  })

  test('takes a change of an instance that it does not know for its arrival', () => {
    const { statusOf, tick } = world()
    const { log, begin, takeAll } = logOf(statusOf)
    begin()
    log.note(tick('changed', 'a'))
    expect(takeAll()).toEqual(['added a1 0'])
  })

  test('keeps nothing of instances that it does not cover', () => {
    const { statusOf, tick } = world()
    const { log, begin, takeAll } = logOf(statusOf, ({ id }) => id === 'a')
    begin()
    log.note(tick('added', 'a'))
    log.note(tick('added', 'b'))
    expect(log.size).toBe(1)
    expect(takeAll()).toEqual(['added a1 0'])
  })

  test('tells readers of the same moment the same event, and none that was made before a reader had opened', () => {
    vi.useFakeTimers({ toFake: ['performance'] })
    onTestFinished(() => void vi.useRealTimers())
    const { statusOf, tick } = world()
    const { log, open } = logOf(statusOf)
    const [first, second] = [open(), open()]
    for (const reader of [first, second]) {
      reader.begin('a')
      reader.takeAll()
    }
    log.note(tick('changed', 'a'))
    const event = first.reader.take()
    expect(second.reader.take()).toBe(event)
    vi.advanceTimersByTime(1)
    const later = open()
    later.begin('a')
    const [snapshot, again] = [later.reader.take(), open()]
    expect(snapshot).toMatchObject({ kind: 'snapshot', connection: { sequence: 1 } })
    vi.advanceTimersByTime(1)
    again.begin('a')
    expect(again.reader.take()).toBe(snapshot)
    const last = open()
    last.begin('a')
    expect(last.reader.take()).not.toBe(snapshot)
  })

  test('tells a reader that was slow what is true now', () => {
    vi.useFakeTimers({ toFake: ['performance'] })
    onTestFinished(() => void vi.useRealTimers())
    const { statusOf, tick, sequences } = world()
    const { log, begin, takeAll } = logOf(statusOf)
    begin('a')
    takeAll()
    log.note(tick('changed', 'a'))
    sequences.set('a', 7)
    vi.advanceTimersByTime(1_000)
    expect(takeAll()).toEqual(['changed a7 0'])
    log.note({ kind: 'changed', instance: instanceOf('a') })
    expect(takeAll()).toEqual([])
  })

  test('keeps a removal until the slowest reader has passed it, and nothing of what came and went meanwhile', () => {
    const { statusOf, tick, removed } = world()
    const { log, open, begin, takeAll } = logOf(statusOf)
    const slow = open()
    for (const { begin: beginOne } of [{ begin }, slow]) beginOne('a')
    slow.takeAll()
    const churn = () => {
      for (let round = 0; round < 200; round++) {
        log.note(tick('added', `n${round}`))
        log.note(removed(`n${round}`))
        takeAll()
      }
    }
    log.note(removed('a'))
    churn()
    expect(slow.take()).toBe('removed a1 0')
    expect(slow.takeAll()).toEqual([])
    expect(takeAll()).toEqual([])
    churn()
    expect(log.size).toBeLessThan(100)
  })

  test('whatever happens and however slowly it is read: sequences rise, what is kept is bounded, the last state arrives', () => {
    const ids = ['a', 'b', 'c']
    const what = fc.constantFrom('change', 'drift', 'remove', 'add', 'wait', 'take', 'take', 'begin')
    const action = fc.record({ id: fc.constantFrom(...ids), what, who: fc.nat(2) })
    vi.useFakeTimers({ toFake: ['performance'] })
    onTestFinished(() => void vi.useRealTimers())
    fc.assert(
      fc.property(fc.array(action, { maxLength: 80 }), (actions) => {
        const { statusOf, tick, removed, sequences } = world()
        const { log, open } = logOf(statusOf)
        const alive = new Set(['a', 'b'])
        const gone = new Set<string>()
        const follow = () => {
          const { reader } = open()
          const seen = new Map<string, number>()
          let expected: number | null = null
          return {
            seen,
            hasBegun: false,
            begin() {
              if (!this.hasBegun) reader.begin([...alive].map(instanceOf))
              this.hasBegun = true
            },
            take: () => {
              const event = reader.take()
              if (!event) return false
              const { instance, connection, kind, snapshotRemaining } = event
              expect(connection.sequence).toBeGreaterThan(seen.get(instance.id) ?? -1)
              expect(kind === 'changed').toBe(seen.has(instance.id) && kind !== 'removed')
              if (expected !== null && expected > 0) expect(snapshotRemaining).toBe(expected - 1)
              expected = snapshotRemaining
              if (kind === 'removed') seen.delete(instance.id)
              else seen.set(instance.id, connection.sequence)
              return true
            },
            remaining: () => expected ?? 0,
          }
        }
        const readers = [follow(), follow(), follow()]
        for (const { id, what, who } of actions) {
          if (what === 'take') readers[who]?.take()
          else if (what === 'begin') readers[who]?.begin()
          else if (what === 'wait') vi.advanceTimersByTime(300)
          else if (what === 'add' && !alive.has(id) && !gone.has(id)) {
            alive.add(id)
            log.note(tick('added', id))
          } else if (what === 'change' && alive.has(id)) log.note(tick('changed', id))
          // Changes that wait to be told of.
          else if (what === 'drift' && alive.has(id)) tick('changed', id)
          else if (what === 'remove' && alive.delete(id)) {
            gone.add(id)
            log.note(removed(id))
          }
          expect(log.size).toBeLessThan(100)
        }
        for (const id of alive) log.note({ kind: 'changed', instance: instanceOf(id) })
        for (const reader of readers) {
          reader.begin()
          while (reader.take());
          expect(reader.remaining()).toBe(0)
          expect(reader.seen).toEqual(new Map([...alive].map((id) => [id, sequences.get(id) ?? 0])))
        }
      }),
      { numRuns: 1_000 },
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

describe('the logs compared with the rows', () => {
  test('find what there is, what was told and is gone, and nothing of other accounts', async () => {
    const { statusOf, tick } = world()
    const topics = new Topics<ConnectionTick>()
    const logs = new ConnectionLogs(new MergedTicks(topics), statusOf)
    const reader = logs.read({ kind: 'account', accountId: 'account' }, 'all')
    const elsewhere = logs.read({ kind: 'account', accountId: 'other' }, 'all')
    reader.begin([instanceOf('a'), instanceOf('b')])
    elsewhere.begin([{ ...instanceOf('z'), accountId: 'other' }])
    const drain = (): string[] => {
      const event = reader.take()
      return event ? [`${event.kind} ${event.instance.id}`, ...drain()] : []
    }
    drain()
    elsewhere.take()
    const readRows = async () => {
      // Came while the rows were read, and is not missed.
      topics.publish('account', tick('added', 'd'))
      return [instanceOf('b'), instanceOf('c')]
    }
    for (const found of await logs.compare('account', readRows)) topics.publish('account', found)
    expect(drain()).toEqual(['added d', 'added c', 'removed a'])
    reader.close()
    elsewhere.close()
  })
})

describe('a source', () => {
  test('tells when there is something to take, and is stopped once', () => {
    const events = [{ number: 1 }, { number: 2 }]
    const stop = vi.fn<() => void>()
    class Numbers extends Source<{ number: number }> {
      protected override next = () => events.shift() ?? null
      protected override stop = stop
    }
    const source = new Numbers()
    source.reader = { advance: vi.fn<() => void>() }
    expect(source.take()).toEqual({ number: 1 })
    source.wake()
    source.close()
    source.close()
    expect(stop).toHaveBeenCalledOnce()
    expect(source.reader.advance).toHaveBeenCalledTimes(2)
    expect(source.take()).toBeNull()
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
