import { createHash, randomUUID } from 'node:crypto'
import { Client } from 'pg'
import { openDatabase } from '../src/db/database.ts'
import { createLogger } from '../src/logger.ts'

export type BenchData = {
  databaseUrl: string
  /** The account token of each size. */
  tokens: ReadonlyMap<number, string>
  /** Account tokens of many small accounts, for what an account costs in memory. */
  smallAccounts: readonly string[]
  /** The account of 100 instances, with tokens for as many streams as are measured. */
  followed: { accountId: string; tokens: readonly string[] }
  /** The processes that serve the database now, where they run on this machine. */
  backends(): Promise<number[]>
  drop(): Promise<void>
}

const SMALL_ACCOUNTS = 200
const FOLLOWED_INSTANCES = 100
const STREAM_TOKENS = 250
export const SMALL_ACCOUNT_INSTANCES = 10

/** A database of the benchmark's own on a PostgreSQL server, migrated and filled. */
export async function prepareData(serverUrl: string, sizes: readonly number[]): Promise<BenchData> {
  const name = `switchboard_bench_${randomUUID().slice(0, 8)}`
  const databaseUrl = Object.assign(new URL(serverUrl), { pathname: `/${name}` }).href
  await administer(serverUrl, `create database ${name}`)
  const drop = async () => void (await administer(serverUrl, `drop database if exists ${name} with (force)`))
  try {
    await migrate(databaseUrl)
    const filled = await fill(databaseUrl, sizes)
    const backends = async () => {
      const rows = await administer(serverUrl, `select pid from pg_stat_activity where datname = '${name}'`)
      return rows.map(({ pid }) => pid as number)
    }
    return { databaseUrl, ...filled, backends, drop }
  } catch (error) {
    await drop()
    throw error
  }
}

async function fill(
  databaseUrl: string,
  sizes: readonly number[],
): Promise<Pick<BenchData, 'tokens' | 'smallAccounts' | 'followed'>> {
  const client = new Client({ connectionString: databaseUrl })
  await client.connect()
  try {
    const tokens = new Map<number, string>()
    for (const size of sizes) tokens.set(size, (await fillAccount(client, `has ${size}`, size)).token)
    const smallAccounts: string[] = []
    for (let index = 0; index < SMALL_ACCOUNTS; index++) {
      smallAccounts.push((await fillAccount(client, `small ${index}`, SMALL_ACCOUNT_INSTANCES)).token)
    }
    const { accountId } = await fillAccount(client, 'is followed', FOLLOWED_INSTANCES)
    const followed = { accountId, tokens: await addTokens(client, accountId, STREAM_TOKENS) }
    await client.query('analyze')
    return { tokens, smallAccounts, followed }
  } finally {
    await client.end()
  }
}

async function administer(serverUrl: string, statement: string): Promise<Record<string, unknown>[]> {
  const client = new Client({ connectionString: serverUrl })
  await client.connect()
  try {
    return (await client.query(statement)).rows
  } finally {
    await client.end()
  }
}

async function migrate(databaseUrl: string): Promise<void> {
  const logger = await createLogger({ logLevel: 'warn', logFormat: 'json' })
  const database = await openDatabase({ databaseUrl, dataDir: '', logger })
  await database.migrate()
  await database.close()
}

/** Every other instance was paired once, has a profile and all six integrations. */
async function fillAccount(
  client: Client,
  name: string,
  instances: number,
): Promise<{ accountId: string; token: string }> {
  const token = `bench-token-of-the-account-that-${name.replaceAll(' ', '-')}`
  const accountId = randomUUID()
  await client.query('insert into accounts (id, name) values ($1, $2)', [accountId, name])
  await client.query(
    `insert into tokens (id, kind, account_id, digest) values (gen_random_uuid(), 'account', $1, $2)`,
    [accountId, createHash('sha256').update(token).digest()],
  )
  await client.query(
    `insert into instances (id, account_id, name, created_at, updated_at, number_jid, paired_at, logged_out_at,
       profile_name, profile_picture_url, is_business, business_name)
     select gen_random_uuid(), $1, 'number-' || lpad(n::text, 5, '0'), at, at,
       case when paired then (5511900000000 + n) || '@s.whatsapp.net' end, case when paired then at end,
       case when paired then at + interval '1 day' end, case when paired then 'Loja ' || n end,
       case when paired then 'https://pps.whatsapp.net/v/t61.24694-24/' || md5(n::text) end, paired,
       case when paired then 'Loja ' || n || ' Ltda.' end
     from (select n, n % 2 = 0 as paired, timestamptz '2026-01-01' + n * interval '1 minute' as at
       from generate_series(0, $2::int - 1) as n) as made`,
    [accountId, instances],
  )
  const full = `from instances where account_id = '${accountId}' and number_jid is not null`
  await client.query(`
    insert into webhooks (id, instance_id, label, enabled, url, events)
      select gen_random_uuid(), id, 'default', true, 'https://crm.example.com/hooks/' || name,
        array['message.exchange', 'instance.state'] ${full};
    insert into websockets (instance_id, enabled) select id, true ${full};
    insert into chatwoots (instance_id, enabled, status, base_url, account_id, inbox_name)
      select id, true, 'active', 'https://chat.example.com', 7, 'Inbox of ' || name ${full};
    insert into proxies (instance_id, enabled, host, port, protocol, username)
      select id, true, 'proxy.example.com', 1080, 'socks5', name ${full};
    insert into settings (instance_id, auto_reject_calls, call_reject_message)
      select id, true, 'Please write to us.' ${full};
    insert into s3s (instance_id, enabled, region, bucket, path_prefix)
      select id, true, 'eu-central-1', 'media', name || '/' ${full};`)
  return { accountId, token }
}

async function addTokens(client: Client, accountId: string, count: number): Promise<string[]> {
  const tokens = Array.from({ length: count }, (_, index) => `bench-token-of-a-follower-with-the-number-${index}`)
  await client.query(
    `insert into tokens (id, kind, account_id, digest) select gen_random_uuid(), 'account', $1, digest from unnest($2::bytea[]) as digest`,
    [accountId, tokens.map((token) => createHash('sha256').update(token).digest())],
  )
  return tokens
}
