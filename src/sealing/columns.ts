/** Every column that holds a sealed secret, with the column that identifies its row. */
export const SEALED_COLUMNS = [
  { table: 'webhooks', column: 'authorization_sealed', rowId: 'id' },
  { table: 'chatwoots', column: 'api_token_sealed', rowId: 'instance_id' },
  { table: 'proxies', column: 'password_sealed', rowId: 'instance_id' },
  { table: 's3s', column: 'access_key_sealed', rowId: 'instance_id' },
  { table: 's3s', column: 'secret_key_sealed', rowId: 'instance_id' },
  { table: 'tokens', column: 'sealed', rowId: 'id' },
] as const
