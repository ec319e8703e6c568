/** One registration of a running gateway process: `epoch` is new each time that it registers. */
export type NodeRef = { id: string; epoch: number }

/** A live node as the others see it. */
export type PeerNode = NodeRef & {
  /** Where it takes commands from other nodes, `host:port`; null when it takes none. */
  address: string | null
  isDraining: boolean
  startedAt: Date
  /** Sessions that it said it runs when it last renewed its lease. */
  owned: number
}

/** The live nodes beside this one, as of the last renewal of the lease. */
export interface Peers {
  list(): readonly PeerNode[]
  /** Resolves when it is known for the first time who they are. */
  whenKnown(): Promise<void>
  /** Called when a node has come, gone, or begun to drain; returns the function that stops it. */
  onChange(listener: (change: { come: readonly PeerNode[]; gone: readonly PeerNode[] }) => void): () => void
}

/** Who owns an instance; `node` is null when nobody does (it never ran, was released, or its node is gone). */
export type Ownership = {
  instanceId: string
  /** Rises with every claim and handover; 0 when it was never owned. */
  epoch: number
  node: PeerNode | null
}
