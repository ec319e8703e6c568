import type { Migration } from 'kysely'
import * as initial from './2026-11-22-initial.ts'
import * as sessions from './2026-11-26-sessions.ts'
import * as tellOfChanges from './2026-11-26-tell-of-changes.ts'
import * as whichNodeOwns from './2026-11-26-which-node-owns.ts'

/** Every migration, in the order in which it is applied (by key). Append only: what has been released never changes. */
export const migrations: Record<string, Migration> = {
  '2026-11-22-initial': initial,
  '2026-11-26-sessions': sessions,
  '2026-11-26-tell-of-changes': tellOfChanges,
  '2026-11-26-which-node-owns': whichNodeOwns,
}
