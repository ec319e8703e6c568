/** SQLSTATE of a server that has no database of that name. */
const NO_SUCH_DATABASE = '3D000'

/** The database of DATABASE_URL cannot be used at the start. */
export class DatabaseUnreachable extends Error {
  constructor(databaseUrl: string, cause: unknown) {
    super(isMissing(cause) ? adviceToCreate(databaseUrl) : adviceToReach(cause), { cause })
    this.name = 'DatabaseUnreachable'
  }
}

const isMissing = (cause: unknown): boolean => (cause as { code?: unknown }).code === NO_SUCH_DATABASE

function adviceToCreate(databaseUrl: string): string {
  const { hostname, port, username, pathname } = new URL(databaseUrl)
  const server = [hostname && `-h ${hostname}`, port && `-p ${port}`, username && `-U ${username}`].filter(Boolean)
  // PostgreSQL names it by the user when the address does not.
  const name = pathname.slice(1) || username
  return `The database ${name} of DATABASE_URL does not exist. Create it once: createdb ${[...server, name].join(' ')}`
}

function adviceToReach(cause: unknown): string {
  // A host with several addresses fails with an error for each, and no message of its own.
  const reasons = cause instanceof AggregateError ? cause.errors : [cause]
  const reason = reasons.map((error) => (error as Error).message).join('; ')
  return `The database of DATABASE_URL cannot be reached: ${reason}. Check that PostgreSQL runs and takes connections from here`
}
