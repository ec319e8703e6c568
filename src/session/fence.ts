import { sql } from 'kysely'

/** Whose write it is: that of the process which took the sessions over with this epoch. */
export type Owned = { instanceId: string; epoch: number }

/**
 * Whether a process is still the one that took the sessions over last. Every write of a session asks: only the statement
 * that writes can stop a process which has not noticed yet that another one runs them.
 */
export const isNewest = (epoch: number) =>
  sql<boolean>`exists (select from registry_epochs where last_value = ${epoch})`

/** The sessions are run by another process by now. */
export class NotOurs extends Error {
  constructor() {
    super('Another process runs the sessions')
    this.name = 'NotOurs'
  }
}
