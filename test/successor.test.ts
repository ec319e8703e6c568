import { expect, test } from 'vitest'
import type { PeerNode } from '../src/cluster/node.ts'
import { chooseSuccessor } from '../src/cluster/successor.ts'

const node = (id: string, epoch: number, more: Partial<PeerNode> = {}): PeerNode => ({
  id,
  epoch,
  address: '127.0.0.1:1',
  isDraining: false,
  startedAt: new Date(0),
  owned: 0,
  ...more,
})

test('a session goes to the node with the fewest, with those counted that were just given', () => {
  const peers = [node('b', 2, { owned: 5 }), node('c', 3, { owned: 4 })]
  expect(chooseSuccessor(node('a', 1), peers, new Map())?.id).toBe('c')
  expect(chooseSuccessor(node('a', 1), peers, new Map([['c', 2]]))?.id).toBe('b')
})

test('a node that cannot be told, or gives its sessions away itself, is no successor', () => {
  const peers = [node('b', 2, { address: null }), node('c', 3, { isDraining: true })]
  expect(chooseSuccessor(node('a', 1), peers, new Map())).toBeNull()
})

test('a younger node comes first, and before it one that was started after the session came here', () => {
  const [older, younger, restarted] = [node('a', 1), node('c', 3, { owned: 2 }), node('a again', 4, { owned: 9 })]
  expect(chooseSuccessor(node('b', 2), [older], new Map())?.id).toBe('a')
  expect(chooseSuccessor(node('b', 2), [older, younger], new Map())?.id).toBe('c')
  expect(chooseSuccessor(node('b', 2), [older, younger, restarted], new Map())?.id).toBe('c')
  expect(chooseSuccessor(node('b', 2), [older, younger, restarted], new Map(), 3)?.id).toBe('a again')
})
