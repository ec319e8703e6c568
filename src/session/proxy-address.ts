import type { Kysely } from 'kysely'
import type { DB } from '../db/types.ts'
import type { Sealer } from '../sealing/sealer.ts'

/** A proxy as it is connected to. The password is a secret: it goes into the connection and nowhere else. */
export type ProxyAddress = {
  protocol: 'http' | 'https' | 'socks5'
  host: string
  port: number
  username: string | null
  password: string | null
}

/** The proxy of an instance; null when there is none, or when it is switched off. */
export async function findProxyAddress(
  db: Kysely<DB>,
  sealer: Sealer,
  instanceId: string,
): Promise<ProxyAddress | null> {
  const row = await db
    .selectFrom('proxies')
    .select(['protocol', 'host', 'port', 'username', 'password_sealed as passwordSealed'])
    .where('instance_id', '=', instanceId)
    .where('enabled', '=', true)
    .executeTakeFirst()
  if (!row?.protocol || !row.host || !row.port) return null
  const { protocol, host, port, username, passwordSealed } = row
  const place = { table: 'proxies', column: 'password_sealed', rowId: instanceId }
  return { protocol, host, port, username, password: passwordSealed && sealer.unseal(place, passwordSealed) }
}
