/** Room for the changes of one epoch, before those of the next. */
const ROOM = 2 ** 32

/**
 * What orders all that is told of an instance: the epoch of its owner, and the changes under it. They are even, so that a
 * node which cannot confirm a status has a number to say so with that no status has.
 */
export const sequenceOf = (epoch: number, changes: number): number => epoch * ROOM + 2 * changes

/** Of a status that is doubted. Its owner takes one above it when it is told of the doubt. */
export const doubtOf = (sequence: number): number => sequence + 1

/** Of the end of an epoch, which comes after all that was told in it. */
export const lastSequenceOf = (epoch: number): number => (epoch + 1) * ROOM - 1

export const epochOf = (sequence: number): number => Math.floor(sequence / ROOM)
