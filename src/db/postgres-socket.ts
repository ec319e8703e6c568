import { Socket } from 'node:net'

/** What PostgreSQL begins with: whether it speaks TLS, or a message on the login, in front of its length in four bytes. */
const LETTERS = new Set(Buffer.from('SNREv'))
/** What follows the length of the packet that MySQL and MariaDB greet with; the length may be one of the letters. */
const MYSQL_GREETING = Buffer.from([0, 0, 0, 10])

const isPostgres = ([letter = 0, ...length]: Buffer): boolean =>
  LETTERS.has(letter) && !length[0] && !MYSQL_GREETING.equals(Buffer.from(length))

/** Something else than PostgreSQL is at its address. */
export class NotPostgres extends Error {
  constructor() {
    super('what is at the address of DATABASE_URL does not answer as PostgreSQL does')
    this.name = 'NotPostgres'
  }
}

/** Fails when another server answers, before pg is told: what that says, pg throws about where nobody can catch it. */
export class PostgresSocket extends Socket {
  #hasBegun = false

  override push(chunk: Buffer | null): boolean {
    if (chunk && !this.#hasBegun && !isPostgres(chunk.subarray(0, 5))) {
      this.destroy(new NotPostgres())
      return false
    }
    this.#hasBegun = true
    return super.push(chunk)
  }
}
