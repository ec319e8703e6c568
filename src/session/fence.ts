import { sql } from 'kysely'

/** Whose write it is: that of the session which was claimed, or handed over, with this epoch. */
export type Owned = { instanceId: string; epoch: number }

/**
 * Whether a session is still the one that owns its instance. Every write of a session asks, in the statement that writes:
 * nothing else can stop an owner that has not noticed yet that it is one no longer. FOR SHARE has a claim wait until a
 * write under way is committed, and a later write see the claim; it also keeps PostgreSQL from turning this into a join.
 */
export const isOwner = ({ instanceId, epoch }: Owned) =>
  sql<boolean>`exists (select from session_owners where instance_id = ${instanceId} and epoch = ${epoch} for share)`

/** The session is owned by somebody else by now. */
export class NotOurs extends Error {
  constructor() {
    super('Another node owns the session')
    this.name = 'NotOurs'
  }
}
