import { badUserInput } from '../errors.ts'
import { isUuid } from '../uuid.ts'

/** A place in the order of instances: creation time, then id. */
export type Position = { createdAt: Date; id: string }

/** 9999-12-31, the last day that every database and RFC 3339 can write; a Date and its text go further. */
const LAST_TIME = Date.UTC(9999, 11, 31)

/** The order of every list. */
export const compareAge = (a: Position, b: Position): number =>
  a.createdAt.getTime() - b.createdAt.getTime() || (a.id < b.id ? -1 : Number(a.id !== b.id))

/** The opaque text that stands for a position. */
export const writeCursor = ({ createdAt, id }: Position): string =>
  Buffer.from(`${createdAt.getTime()}:${id}`).toString('base64url')

/** @throws GatewayError BAD_USER_INPUT for a text that no page has given out */
export function readCursor(cursor: string): Position {
  const [, time = '', id = ''] = /^(\d{1,15}):(.*)$/.exec(Buffer.from(cursor, 'base64url').toString('utf8')) ?? []
  const position = { createdAt: new Date(Number(time)), id }
  if (!isUuid(id) || position.createdAt.getTime() > LAST_TIME || writeCursor(position) !== cursor) {
    throw badUserInput('after', 'after is not a cursor of this list. Take endCursor of the page before')
  }
  return position
}
