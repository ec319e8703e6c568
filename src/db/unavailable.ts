import { NotPostgres } from './postgres-socket.ts'

/** SQLSTATE classes and codes that say "the server is away or will not serve now", as opposed to "this statement is wrong". */
const AWAY = /^(08...|53...|57P0[1-5]|57014|58...|25006|25P03)$/
/** The same, said to a new connection: the database takes none, or is not there (any more), or not for this user. */
const REFUSED = /^(55000|3D000|28000|28P01)$/
/** What is thrown back in favour of another transaction, and would mostly succeed if it were done again. */
const OVERTAKEN = /^(40001|40P01|55P03)$/
/** Node's codes for a connection that failed. */
const NO_CONNECTION = /^(ECONNREFUSED|ECONNRESET|EPIPE|ETIMEDOUT|ENOTFOUND|EAI_AGAIN|EHOSTUNREACH|ENETUNREACH|ENOENT)$/
/** pg's own failures, which carry no code. */
const PG_MESSAGES =
  /timeout exceeded when trying to connect|Connection terminated|Query read timeout|Client has encountered a connection error|Cannot use a pool after calling end|Client was closed/

const codeOf = (error: Error): string | undefined => {
  const { code } = error as { code?: unknown }
  return typeof code === 'string' ? code : undefined
}

/** Whether a transaction lost against another one: nothing of it is left, and it may be done again. */
export const isOvertaken = (error: unknown): boolean => error instanceof Error && OVERTAKEN.test(codeOf(error) ?? '')

/** Whether an error means that the database cannot be reached or does not answer: worth a retry, and nothing is known about the rows. */
export function isUnavailable(error: unknown): boolean {
  if (!(error instanceof Error)) return false
  if (error instanceof NotPostgres) return true
  if (error instanceof AggregateError && error.errors.some(isUnavailable)) return true
  const code = codeOf(error)
  if (code !== undefined) return [AWAY, REFUSED, OVERTAKEN, NO_CONNECTION].some((codes) => codes.test(code))
  return PG_MESSAGES.test(error.message)
}
