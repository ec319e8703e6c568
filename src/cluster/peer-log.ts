import type { Logger } from '../logger.ts'
import type { PeerNode, Peers } from './node.ts'

/** Sessions that are given to this node so close together are told in one line. */
const GATHER_MS = 5_000

/**
 * Logs who comes and goes among the other nodes, a line for each change.
 * @param isAlone this gateway has no REDIS_URL, so that it cannot be one of those that have
 */
export function logPeers(peers: Peers, { isAlone, logger }: { isAlone: boolean; logger: Logger }): void {
  const tell = (nodes: readonly PeerNode[], message: string) => {
    if (nodes.length > 0) logger.info({ nodes: nodes.map(shown), liveNodes: peers.list().length + 1 }, message)
  }
  peers.onChange(({ come, gone }) => {
    const stayed = new Set(come.map(({ id }) => id))
    tell(
      gone.filter(({ id }) => !stayed.has(id)),
      'other nodes are gone; what they ran is claimed by those that live',
    )
    tell(
      come.filter(({ isDraining }) => isDraining),
      'other nodes give their sessions away',
    )
    const joined = come.filter(({ isDraining }) => !isDraining)
    tell(joined, 'other nodes live on this database')
    if (isAlone && joined.some(({ address }) => address !== null)) {
      logger.warn(
        'other gateways on this database have a REDIS_URL and this one has none, so that they cannot share the sessions, and only the side that came first runs any: restart this one with their REDIS_URL',
      )
    }
  })
}

const shown = ({ id, address, owned }: PeerNode) => ({ id, address, sessions: owned })

/** Logs how many sessions other nodes have given to this one, by the function that is told of each few. */
export function logTaken(logger: Logger): (sessions: number) => void {
  let gathered = 0
  const tell = () => {
    logger.info({ sessions: gathered }, 'other nodes have handed sessions over to this one')
    gathered = 0
  }
  return (sessions) => {
    if (gathered === 0) setTimeout(tell, GATHER_MS).unref()
    gathered += sessions
  }
}
