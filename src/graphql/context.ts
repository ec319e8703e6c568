import type { Loaders } from '../loaders.ts'
import type { Budget } from '../rate-limit.ts'
import type { Services } from '../services.ts'
import type { Viewer } from '../viewer/viewer.ts'
import type { Call } from './call.ts'

/** What resolvers are given. There is always a viewer: without one only introspection is executed. */
export type Context = {
  viewer: Viewer
  services: Services
  loaders: Loaders
  /** The viewer's rate limit after this operation was counted. */
  budget: Budget
  call: Pick<Call, 'chargeFailedGuess' | 'forbidStoring'>
}
