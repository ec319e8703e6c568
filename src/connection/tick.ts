import type { Instance } from '../instance/queries.ts'
import type { ConnectionStatus } from './state.ts'

/**
 * What streams are told of, by account id. A tick says that something changed and not what is true now: that is asked of
 * the registry when the tick is delivered. Only what is gone carries its last state with it.
 */
export type ConnectionTick = { kind: 'changed'; instance: Instance } | PassingTick

/** An instance came or went. */
export type PassingTick =
  | { kind: 'added'; instance: Instance }
  | { kind: 'removed'; instance: Instance; last: ConnectionStatus }
