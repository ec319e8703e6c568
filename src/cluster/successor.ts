import type { NodeRef, PeerNode } from './node.ts'

/** Whether a node can be told of sessions, and takes them. */
export const takesSessions = ({ address, isDraining }: PeerNode): boolean => address !== null && !isDraining

/**
 * Who is to be given a session: of the nodes that can be told, the one with the fewest. Those come first that were started
 * after the session had come here, then those that are younger than the giver: in a rolling restart a session goes to a
 * node that is to be restarted yet only while there is no other, so that it moves twice at most.
 * @param arrivedAmong the epoch of the youngest node when the session came here
 */
export function chooseSuccessor(
  giver: NodeRef,
  peers: readonly PeerNode[],
  given: ReadonlyMap<string, number>,
  arrivedAmong = giver.epoch,
) {
  const able = peers.filter(takesSessions)
  const after = (moment: number) => able.filter(({ epoch }) => epoch > moment)
  const choices = [after(arrivedAmong), after(giver.epoch), able].find(({ length }) => length > 0) ?? []
  const load = ({ id, owned }: PeerNode) => owned + (given.get(id) ?? 0)
  const [least] = choices.toSorted((one, other) => load(one) - load(other))
  return least ?? null
}
