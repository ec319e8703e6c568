import { z } from 'zod'
import type { ConnectionStatus } from '../connection/state.ts'
import type { PassingTick } from '../connection/tick.ts'
import type { Instance } from '../instance/queries.ts'
import type { PairingStep } from '../pairing/step.ts'
import type { SessionOrder } from '../session/remote.ts'
import type { NodeRef } from './node.ts'

/** The newest step of a pairing; numbers rise with the steps that a node tells of an account. */
export type NumberedStep = { number: number; step: PairingStep }

/** A session as its owner tells of it. */
export type Told = { instance: Instance; status: ConnectionStatus; step: NumberedStep | null }

/** An instance that came or went, whoever owned its session. */
export type Passing = { number: number; tick: PassingTick }

/**
 * What a node tells all who watch an account. `before` and `number` count what it has told of the account before and
 * after this, so that a message that was lost is noticed by the next one.
 */
export type Announcement = { from: NodeRef; before: number; number: number; told: Told[]; passings: Passing[] }

/** The truth of one node about an account; without `told` nothing has changed since the number that was asked with. */
export type AccountStates = {
  number: number
  told?: Told[]
  /** Since the number that was asked with. */
  passings?: Passing[]
  /** Some that went before those are not kept any more. */
  isCut?: boolean
  /** When each link was heard from last, in ms: it moves without a change. */
  observed?: Record<string, number>
}

/** A node, and whether the others hear of its changes by the bus, or have to ask. */
export type Teller = NodeRef & { isBusUp: boolean }

/** By account: the number up to which the asking node knows what was told; null when it knows nothing. */
export type StatesRequest = {
  /** Who asks, and whether what it tells goes over the bus at the moment; null: it is not registered. */
  from: Teller | null
  accounts: Record<string, number | null>
  /** Sessions whose status the asking node could not confirm, and has doubted: they need a newer one. */
  doubted?: string[] | undefined
  /** Whether to tell when links were heard from last, too. */
  observed?: boolean | undefined
}
export type StatesAnswer = { from: Teller; accounts: Record<string, AccountStates> }

export type CommandRequest = { instance: Instance; order: SessionOrder }
export type CommandAnswer = { from: NodeRef; instance: Instance; told: Told | null }

export type TakeRequest = { instanceIds: string[] }

const DATES = new Set([
  'createdAt',
  'updatedAt',
  'pairedAt',
  'loggedOutAt',
  'stoppedAt',
  'since',
  'observedAt',
  'retryAt',
  'expiresAt',
])

/** Reads what a node has written with JSON.stringify; only what was sealed or sent by a node is read. */
export const parseWire = <Value>(text: string): Value =>
  JSON.parse(text, (key, value: unknown) =>
    typeof value === 'string' && DATES.has(key) ? new Date(value) : value,
  ) as Value

const accountNumbers = z.record(z.uuid(), z.number().nullable())
const date = z.date()

/** The forms of what a node may be asked, which are checked although only nodes can ask. */
export const REQUESTS = {
  states: z.object({
    from: z.object({ id: z.uuid(), epoch: z.number(), isBusUp: z.boolean() }).nullable(),
    accounts: accountNumbers,
    observed: z.boolean().optional(),
    doubted: z.array(z.uuid()).optional(),
  }),
  take: z.object({ instanceIds: z.array(z.uuid()) }),
  command: z.object({
    instance: z.looseObject({ id: z.uuid(), accountId: z.uuid(), name: z.string(), createdAt: date }),
    order: z.discriminatedUnion('kind', [
      z.object({ kind: z.literal('connect'), phoneNumber: z.string().nullable() }),
      ...(['reconnect', 'disconnect', 'logOut', 'pause', 'resume', 'forget', 'applySettings'] as const).map((kind) =>
        z.object({ kind: z.literal(kind) }),
      ),
    ]),
  }),
} as const
