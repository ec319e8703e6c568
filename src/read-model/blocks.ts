import { INTEGRATION_BATCHES } from '../integration/batches.ts'
import { PROFILE_BATCHES } from '../profile/batches.ts'

/** The blocks of an instance that are loaded apart, each for any number of instances with one statement. */
export const BLOCK_BATCHES = { ...PROFILE_BATCHES, ...INTEGRATION_BATCHES }

export type BlockName = keyof typeof BLOCK_BATCHES
export const BLOCK_NAMES = Object.keys(BLOCK_BATCHES) as BlockName[]

/** What each block is of one instance. */
export type Blocks = { [Name in BlockName]: Awaited<ReturnType<(typeof BLOCK_BATCHES)[Name]>>[number] }
