import { randomUUID } from 'node:crypto'
import { beforeEach, describe, expect, onTestFinished, test, vi } from 'vitest'
import { Announcements, type SessionHere } from '../src/cluster/announcements.ts'
import type { NodeRef } from '../src/cluster/node.ts'
import type { Announcement } from '../src/cluster/wire.ts'
import { reasonOf } from '../src/connection/reasons.ts'
import { lastSequenceOf } from '../src/connection/sequence.ts'
import type { Instance } from '../src/instance/queries.ts'
import type { PairingStep } from '../src/pairing/step.ts'

const ACCOUNT = randomUUID()
const NODE = { id: randomUUID(), epoch: 3 }
const qr: PairingStep = { kind: 'qr', value: 'one', ordinal: 1, expiresAt: new Date(0) }
const failed: PairingStep = { kind: 'failed', reason: reasonOf('PAIRING_EXPIRED') }

const sessionOf = (sequence = 1): SessionHere => ({
  instance: { id: randomUUID(), accountId: ACCOUNT } as Instance,
  status: { sequence, observedAt: new Date(sequence) } as SessionHere['status'],
  step: null,
})

function createNode() {
  const sent: Announcement[] = []
  const sessions = new Map<string, SessionHere>()
  let self: NodeRef | null = NODE
  const announcements = new Announcements({
    bus: { publish: (_accountId, message) => sent.push(message) },
    self: () => self,
    sessions: {
      find: (id) => sessions.get(id) ?? null,
      list: (ids) => [...sessions.values()].filter(({ instance }) => ids.has(instance.accountId)),
    },
  })
  onTestFinished(() => announcements.close())
  return {
    announcements,
    sent,
    runs: (session: SessionHere) => {
      sessions.set(session.instance.id, session)
      return session
    },
    isLost: () => void (self = null),
    changes: ({ instance }: SessionHere) => announcements.noteTick({ kind: 'changed', instance }),
    asked: (known: number | null) => announcements.statesOf({ accounts: { [ACCOUNT]: known } })[ACCOUNT],
    observed: (known: number) =>
      announcements.statesOf({ accounts: { [ACCOUNT]: known }, observed: true })[ACCOUNT]?.observed,
  }
}

let node: ReturnType<typeof createNode>
beforeEach(() => {
  vi.useFakeTimers()
  onTestFinished(() => void vi.useRealTimers())
  node = createNode()
})
const passWindow = () => vi.advanceTimersByTime(10)

describe('announcements', () => {
  test('tell changes that come together at once, each session once and as it is then', () => {
    const session = node.runs(sessionOf())
    for (let change = 0; change < 1_000; change++) node.changes(session)
    const latest = node.runs({ ...session, status: { ...session.status, sequence: 9 } })
    passWindow()
    expect(node.sent).toEqual([
      {
        from: NODE,
        before: 0,
        number: 1_000,
        told: [{ instance: latest.instance, status: latest.status, step: null }],
        passings: [],
      },
    ])
  })

  test('are numbered without a gap', () => {
    const session = node.runs(sessionOf())
    node.changes(session)
    passWindow()
    node.changes(session)
    node.announcements.noteTick({ kind: 'added', instance: sessionOf().instance })
    passWindow()
    expect(node.sent.map(({ before, number }) => [before, number])).toEqual([
      [0, 1],
      [1, 3],
    ])
  })

  test('are not made by a node that has lost its registration', () => {
    const session = node.runs(sessionOf())
    node.isLost()
    node.changes(session)
    passWindow()
    expect(node.sent).toEqual([])
  })

  test('tell of a session that has left this node what it was last, as the end of its epoch', () => {
    const session = sessionOf(5)
    node.changes(session)
    node.announcements.noteReleased(session.instance, session.status)
    passWindow()
    expect(node.sent).toMatchObject([{ told: [{ status: { sequence: lastSequenceOf(0) } }] }])
  })

  test('tell of a session that has left this node the outcome of its pairing, and nothing that it offered', () => {
    const [first, second] = [sessionOf(), sessionOf()]
    node.announcements.noteStep(first.instance, qr)
    node.announcements.noteReleased(first.instance, first.status)
    node.announcements.noteStep(second.instance, failed)
    node.announcements.noteReleased(second.instance, second.status)
    passWindow()
    expect(node.sent[0]?.told.map(({ step }) => step?.step ?? null)).toEqual([null, failed])
  })

  test('that wait are made when the node ends', () => {
    node.changes(node.runs(sessionOf()))
    node.announcements.close()
    expect(node.sent).toHaveLength(1)
  })
})

describe('accounts without a session here', () => {
  const pass = () => node.announcements.noteTick({ kind: 'added', instance: sessionOf().instance })
  const HOUR = 60 * 60_000

  test('are forgotten after a while, and begin with a number that nobody has taken for known', () => {
    pass()
    pass()
    passWindow()
    vi.advanceTimersByTime(HOUR)
    expect(node.asked(null)).toMatchObject({ number: 2, told: [] })
    pass()
    passWindow()
    expect(node.sent.at(-1)).toMatchObject({ before: 2, number: 3 })
    expect(node.asked(2)).toMatchObject({ number: 3, passings: [{ number: 3 }], isCut: false })
    expect(node.asked(1)).toMatchObject({ isCut: true })
  })

  test('are told of in full, once, to whoever has missed something before they were forgotten', () => {
    pass()
    pass()
    passWindow()
    vi.advanceTimersByTime(HOUR)
    for (const known of [0, 1]) expect(node.asked(known)).toMatchObject({ number: 2, told: [], isCut: true })
    expect(node.asked(2)).toEqual({ number: 2 })
  })

  test('are kept while they change, and those with a session always', () => {
    for (let minutes = 0; minutes < 60; minutes++) {
      pass()
      vi.advanceTimersByTime(60_000)
    }
    expect(node.asked(null)?.number).toBe(60)
    node.changes(node.runs(sessionOf()))
    passWindow()
    vi.advanceTimersByTime(HOUR)
    expect(node.asked(null)?.number).toBe(61)
  })
})

describe('whoever asks a node', () => {
  test('is told everything at first, and after that only whether anything has changed', () => {
    const session = node.runs(sessionOf(7))
    node.changes(session)
    expect(node.asked(null)).toMatchObject({ number: 1, told: [{ status: { sequence: 7 } }], passings: [] })
    expect(node.asked(1)).toEqual({ number: 1 })
    expect(node.observed(1)).toEqual({ [session.instance.id]: 7 })
    node.changes(session)
    expect(node.asked(1)).toMatchObject({ number: 2, told: [{ status: { sequence: 7 } }] })
  })

  test('is told of the comings and goings that were missed, and of no others', () => {
    const [first, second] = [sessionOf(), sessionOf()]
    node.announcements.noteTick({ kind: 'added', instance: first.instance })
    node.announcements.noteTick({ kind: 'added', instance: second.instance })
    expect(node.asked(1)).toMatchObject({ passings: [{ number: 2, tick: { instance: second.instance } }] })
    expect(node.asked(null)).toMatchObject({ passings: [] })
  })

  test('is told when comings and goings that were missed are not kept any more', () => {
    for (let count = 0; count < 201; count++) {
      node.announcements.noteTick({ kind: 'added', instance: sessionOf().instance })
    }
    expect(node.asked(0)?.isCut).toBe(true)
    expect(node.asked(1)?.isCut).toBe(false)
    expect(node.asked(1)?.passings).toHaveLength(200)
  })

  test('is told the step of a pairing as long as it is offered, and its outcome for a while', () => {
    const session = node.runs({ ...sessionOf(), step: qr })
    node.announcements.noteStep(session.instance, qr)
    expect(node.asked(null)?.told?.[0]?.step).toEqual({ number: 1, step: qr })
    node.runs({ ...session, step: null })
    expect(node.asked(null)?.told?.[0]?.step).toBeNull()
    node.announcements.noteStep(session.instance, failed)
    expect(node.asked(null)?.told?.[0]?.step).toEqual({ number: 2, step: failed })
    vi.advanceTimersByTime(61_000)
    expect(node.asked(null)?.told?.[0]?.step).toBeNull()
  })
})
