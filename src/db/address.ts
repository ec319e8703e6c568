/** The name of the database of an address; PostgreSQL takes that of the user where there is none. */
export function databaseNameOf(databaseUrl: string): string {
  const { pathname, username } = new URL(databaseUrl)
  return decodeURIComponent(pathname.slice(1) || username)
}

/** Where the server of an address is, e.g. `127.0.0.1:5432`. */
export function serverOf(databaseUrl: string): string {
  const { hostname, port } = new URL(databaseUrl)
  return `${hostname || 'this machine'}:${port || 5432}`
}
