import type { Loaders } from '../loaders.ts'
import type { Budget } from '../rate-limit.ts'
import type { SessionRegistry } from '../session/registry.ts'
import type { Viewer } from '../viewer/viewer.ts'

/** What resolvers are given. There is always a viewer: without one only introspection is executed. */
export type Context = {
  viewer: Viewer
  loaders: Loaders
  sessions: SessionRegistry
  /** The viewer's rate limit after this operation was counted. */
  budget: Budget
}
