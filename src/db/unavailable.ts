/** SQLSTATE classes and codes that say "the server is away or will not serve now", as opposed to "this statement is wrong". */
const AWAY = /^(08...|53300|57P0[1-5]|57014|25006)$/
/** Node's codes for a connection that failed. */
const NO_CONNECTION = /^(ECONNREFUSED|ECONNRESET|EPIPE|ETIMEDOUT|ENOTFOUND|EAI_AGAIN|EHOSTUNREACH|ENETUNREACH|ENOENT)$/
/** pg's own failures, which carry no code. */
const PG_MESSAGES =
  /timeout exceeded when trying to connect|Connection terminated|Query read timeout|Client has encountered a connection error|Cannot use a pool after calling end|Client was closed/

/** Whether an error means that the database cannot be reached or does not answer: worth a retry, and nothing is known about the rows. */
export function isUnavailable(error: unknown): boolean {
  if (!(error instanceof Error)) return false
  if (error instanceof AggregateError && error.errors.some(isUnavailable)) return true
  const { code } = error as { code?: unknown }
  if (typeof code === 'string') return AWAY.test(code) || NO_CONNECTION.test(code)
  return PG_MESSAGES.test(error.message)
}
