import type { Kysely } from 'kysely'
import type { NodeRef } from '../cluster/node.ts'
import { ownersOf } from '../cluster/owners.ts'
import type { DB } from '../db/types.ts'
import type { Instance } from '../instance/queries.ts'
import type { Logger } from '../logger.ts'
import type { RemoteSessions, SessionOrder } from './remote.ts'

export type ElsewhereServices = {
  db: Kysely<DB>
  logger: Logger
  remote: RemoteSessions
  /** This node; null while it is not registered. */
  self(): NodeRef | null
}

/** An instance, and the other node that owns its session. */
export type OwnedElsewhere = { owner: NodeRef; instance: Instance }

/**
 * What the owners of sessions elsewhere are asked for beside the commands of users. An owner that cannot be reached finds
 * out by itself, a little later.
 */
export class Elsewhere {
  readonly #services: ElsewhereServices

  constructor(services: ElsewhereServices) {
    this.#services = services
  }

  /** Looks up who owns the instances, and asks those that are other nodes; returns what was done. */
  async order(instances: readonly Instance[], order: SessionOrder): Promise<OwnedElsewhere[]> {
    if (instances.length === 0) return []
    const { db, self } = this.#services
    const byId = new Map(instances.map((instance) => [instance.id, instance]))
    const owned = await ownersOf(db, [...byId.keys()])
    const others = owned.flatMap(({ node, instanceId }) => {
      const instance = byId.get(instanceId)
      return node && instance && node.id !== self()?.id ? [{ owner: node, instance }] : []
    })
    return this.orderOwners(others, order)
  }

  /** Asks owners that are known; returns what was done. */
  async orderOwners(owned: readonly OwnedElsewhere[], order: SessionOrder): Promise<OwnedElsewhere[]> {
    const { remote, logger } = this.#services
    const done = await Promise.all(
      owned.map(async (one) => {
        try {
          await remote.command(one.owner, one.instance, order)
          return [one]
        } catch (error) {
          const { id: instanceId } = one.instance
          logger.warn({ instanceId, order: order.kind, err: error }, 'the owner did not do it')
          return []
        }
      }),
    )
    return done.flat()
  }
}
