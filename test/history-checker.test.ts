import { describe, expect, test } from 'vitest'
import type { SocketLife } from './fake-whatsapp/socket-log.ts'
import {
  disagreementsIn,
  doubleSockets,
  epochsThatDoNotRise,
  type History,
  lostAuthState,
  OVERLAP_MS,
  type Rest,
  sequencesThatFall,
  type SessionWrite,
  staleWrites,
  wrongsIn,
} from './history-checker.ts'

const sequence = (epoch: number, count: number) => epoch * 2 ** 32 + count

const write = (more: Partial<SessionWrite> = {}): SessionWrite => ({
  instanceId: 'shop',
  what: 'creds',
  operation: 'UPDATE',
  writer: 'a1',
  epoch: 4,
  owner: 'a1',
  ownerEpoch: 4,
  ...more,
})

const socket = (node: string, openedAt: number, closedAt: number | null): SocketLife => ({
  number: '1555',
  node,
  openedAt,
  replacedAt: null,
  closedAt,
})

const told = (state: string, at: number, observer = 'on a') => ({ observer, instanceId: 'shop', state, sequence: at })

test('a session that was handed over, and whose owner was stopped after that, is a history without a wrong', () => {
  const history: History = {
    owners: [
      { instanceId: 'shop', owner: 'a1', epoch: 4 },
      { instanceId: 'shop', owner: 'b1', epoch: 5 },
      { instanceId: 'shop', owner: 'c1', epoch: 9 },
      { instanceId: 'other', owner: 'a1', epoch: 4 },
    ],
    writes: [write(), write({ writer: 'b1', owner: 'b1', what: 'keys', operation: 'DELETE' })],
    sockets: [socket('a1', 0, 1_000), socket('b1', 1_050, 60_000), socket('c1', 20_000, null)],
    pauses: [{ node: 'b1', from: 5_000, until: 59_500 }],
    observations: [
      told('CONNECTED', sequence(4, 2)),
      told('CONNECTING', sequence(5, 1), 'on b'),
      told('DISCONNECTED', sequence(4, 3)),
      told('CONNECTED', sequence(5, 2)),
      told('CONNECTED', sequence(5, 2)),
    ],
    loggedOut: new Set(),
  }
  expect(wrongsIn(history)).toEqual([])
})

describe('a wrong is found:', () => {
  test('a write of a node that is the owner no longer, or never was', () => {
    const writes = [
      write(),
      write({ owner: 'b1', ownerEpoch: 5 }),
      write({ owner: null, ownerEpoch: null, what: 'facts' }),
    ]
    expect(staleWrites({ writes })).toEqual([
      'a1 could UPDATE creds of shop under 4, which b1 owned under 5',
      'a1 could UPDATE facts of shop under 4, which nobody owned under none',
    ])
  })

  test('a write of the owner under an epoch that was over, and under none', () => {
    expect(staleWrites({ writes: [write({ ownerEpoch: 9 }), write(), write({ epoch: null })] })).toEqual([
      'a1 could UPDATE creds of shop under 4, which a1 owned under 9',
      'a1 could UPDATE creds of shop under no epoch, which a1 owned under 4',
    ])
  })

  test('an epoch that is given twice, and one that falls', () => {
    const change = (owner: string | null, epoch: number) => ({ instanceId: 'shop', owner, epoch })
    expect(
      epochsThatDoNotRise({ owners: [change('a1', 4), change('b1', 4), change(null, 3), change('b1', 5)] }),
    ).toEqual(['shop went to b1 with epoch 4 after 4', 'shop went to nobody with epoch 3 after 4'])
  })

  test('two sockets of one device for longer than closing takes', () => {
    const sockets = [socket('a1', 0, 5_000), socket('b1', 5_000 - OVERLAP_MS - 1, null)]
    expect(doubleSockets({ sockets, pauses: [] })).toEqual(['1555 had a socket of a1 and one of b1 for 1001 ms'])
  })

  test('two sockets of one device whose holder was stopped, but not for all of that time', () => {
    const sockets = [socket('a1', 0, 20_000), socket('b1', 10_000, null)]
    const pauses = [{ node: 'a1', from: 1_000, until: 18_000 }]
    expect(doubleSockets({ sockets, pauses })).toEqual(['1555 had a socket of a1 and one of b1 for 2000 ms'])
  })

  test('a socket that was open yet when another node opened one, however short', () => {
    const sockets = [socket('a1', 0, 5_020), socket('b1', 5_000, null)]
    expect(doubleSockets({ sockets, pauses: [] })).toEqual(['1555 had a socket of a1 and one of b1: a1 had not let go'])
    const again = [socket('a1', 0, 5_020), socket('a1', 5_000, null)]
    expect(doubleSockets({ sockets: again, pauses: [] })).toEqual([])
  })

  test('a subscriber that is told of a past', () => {
    const observations = [
      told('CONNECTED', sequence(5, 7)),
      told('DISCONNECTED', sequence(5, 6)),
      told('CONNECTED', sequence(4, 9)),
    ]
    expect(sequencesThatFall({ observations })).toEqual([
      'on a was told DISCONNECTED of shop at (5, 6) after CONNECTED at (5, 7)',
      'on a was told CONNECTED of shop at (4, 9) after CONNECTED at (5, 7)',
    ])
  })

  test('credentials that are deleted without a logout', () => {
    const writes = [write({ operation: 'DELETE' }), write({ operation: 'DELETE', instanceId: 'gone' })]
    expect(lostAuthState({ writes, loggedOut: new Set(['gone']) })).toEqual([
      'a1 deleted the credentials of shop, which was not logged out',
    ])
  })

  test('somebody who says another thing than the rest when nothing happens any more', () => {
    const instance = { instanceId: 'shop', number: '1555', owner: 'a1', isWanted: true }
    const rest = (live: string[], more: Partial<Rest['instances'][number]> = {}): Rest => ({
      live,
      instances: [{ ...instance, told: { 'on a': 'CONNECTED', 'on b': 'CONNECTED' }, ...more }],
    })
    expect(disagreementsIn(rest(['1555']))).toEqual([])
    expect(disagreementsIn(rest([], { isWanted: false, owner: null, told: { 'on a': 'DISCONNECTED' } }))).toEqual([])
    expect(disagreementsIn(rest(['1555'], { told: { 'on a': 'CONNECTED', 'on b': 'CONNECTING' } }))).toEqual([
      'on b says CONNECTING of shop, which has 1 sockets',
    ])
    expect(disagreementsIn(rest(['1555', '1555']))).toEqual(['WhatsApp has 2 sockets of 1555 (shop)'])
    expect(disagreementsIn(rest(['1555'], { owner: null }))).toEqual(['nobody owns shop'])
    expect(disagreementsIn(rest([]))).toEqual([
      'WhatsApp has 0 sockets of 1555 (shop)',
      'on a says CONNECTED of shop, which has 0 sockets',
      'on b says CONNECTED of shop, which has 0 sockets',
    ])
  })
})
