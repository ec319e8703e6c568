export type SealedColumn = {
  table: string
  column: string
  /** The columns that identify a row; a secret is bound to their values, with slashes between. */
  key: readonly [string, ...string[]]
  /** A table that may have millions of rows: never looked through at a start. */
  isLarge?: true
}

/** Every column that holds a sealed secret. */
export const SEALED_COLUMNS: readonly SealedColumn[] = [
  { table: 'webhooks', column: 'authorization_sealed', key: ['id'] },
  { table: 'chatwoots', column: 'api_token_sealed', key: ['instance_id'] },
  { table: 'proxies', column: 'password_sealed', key: ['instance_id'] },
  { table: 's3s', column: 'access_key_sealed', key: ['instance_id'] },
  { table: 's3s', column: 'secret_key_sealed', key: ['instance_id'] },
  { table: 'tokens', column: 'sealed', key: ['id'] },
  { table: 'auth_creds', column: 'creds_sealed', key: ['instance_id'] },
  { table: 'auth_keys', column: 'value_sealed', key: ['instance_id', 'type', 'id'], isLarge: true },
]
