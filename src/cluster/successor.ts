import type { NodeRef, PeerNode } from './node.ts'

/**
 * Who is to be given a session: of the nodes that can be told, the one with the fewest. Those that are younger than the
 * giver come first: in a rolling restart they were restarted already, so that a session moves twice at most.
 */
export function chooseSuccessor(giver: NodeRef, peers: readonly PeerNode[], given: ReadonlyMap<string, number>) {
  const able = peers.filter(({ address, isDraining }) => address !== null && !isDraining)
  const younger = able.filter(({ epoch }) => epoch > giver.epoch)
  const load = ({ id, owned }: PeerNode) => owned + (given.get(id) ?? 0)
  const [least] = (younger.length > 0 ? younger : able).toSorted((one, other) => load(one) - load(other))
  return least ?? null
}
