import { databaseNameOf, serverOf } from './address.ts'
import { NotPostgres } from './postgres-socket.ts'

/** The database of DATABASE_URL cannot be used at the start. */
export class DatabaseUnreachable extends Error {
  constructor(databaseUrl: string, cause: unknown) {
    super(advise(databaseUrl, cause as Error & { code?: unknown }), { cause })
    this.name = 'DatabaseUnreachable'
  }
}

const NO_PERMISSION = '42501'
const READ_ONLY = '25006'

/** Whether the server has let the user in, and not to what it asked for. */
export const isForbidden = (error: unknown): boolean =>
  [NO_PERMISSION, READ_ONLY].includes(String((error as { code?: unknown }).code))

/** pg's own, when the server asks for a password and there is none. */
const PASSWORD_MISSING = /^SASL: .*password must be/

function advise(databaseUrl: string, cause: Error & { code?: unknown }): string {
  // SQLSTATE, where the server itself has refused.
  if (cause.code === '3D000') return adviceToCreate(databaseUrl)
  if (cause.code === '28P01') {
    return `PostgreSQL refuses the user and the password of DATABASE_URL: it has no user ${new URL(databaseUrl).username}, or another password for it. Correct them in DATABASE_URL`
  }
  if (cause.code === '28000') {
    return `PostgreSQL refuses the user of DATABASE_URL: ${cause.message}. Write another one into DATABASE_URL, or have PostgreSQL know and admit this one`
  }
  if (cause.code === READ_ONLY) {
    return `PostgreSQL takes no writes at the address of DATABASE_URL: ${cause.message}. Write that of the primary server there`
  }
  if (isForbidden(cause)) {
    return `PostgreSQL does not let the user of DATABASE_URL do what is needed: ${cause.message}. Write the owner of the database into DATABASE_URL, or make this user its owner`
  }
  if (PASSWORD_MISSING.test(cause.message)) {
    return 'PostgreSQL asks for a password, and there is none in DATABASE_URL. Write it there, as in postgres://user:password@host/database'
  }
  if (cause instanceof NotPostgres) {
    return `DATABASE_URL does not lead to PostgreSQL: what is at ${serverOf(databaseUrl)} does not answer as PostgreSQL does. Correct its host and port`
  }
  return adviceToReach(cause)
}

function adviceToCreate(databaseUrl: string): string {
  const { hostname, port, username } = new URL(databaseUrl)
  const server = [hostname && `-h ${hostname}`, port && `-p ${port}`, username && `-U ${username}`].filter(Boolean)
  const name = databaseNameOf(databaseUrl)
  return `The database ${name} of DATABASE_URL does not exist. Create it once: createdb ${[...server, name].join(' ')}`
}

function adviceToReach(cause: Error): string {
  // A host with several addresses fails with an error for each, and no message of its own.
  const reasons = cause instanceof AggregateError ? cause.errors : [cause]
  const reason = reasons.map((error) => reasonOf((error as Error).message)).join('; ')
  return `The database of DATABASE_URL cannot be reached: ${reason}. Check its host and port, and that PostgreSQL runs there and takes connections from here`
}

/** pg's own failures are told as what they mean for the server. */
function reasonOf(message: string): string {
  if (/connection timeout|timeout exceeded/.test(message)) return 'nothing answers in time'
  if (message.startsWith('Connection terminated')) return 'what is there ends the connection without an answer'
  return message
}
