import { type Kysely, sql } from 'kysely'

/** Accounts, tokens, instances and their six integrations. Times have milliseconds, as a JavaScript Date does. */
export async function up(db: Kysely<unknown>): Promise<void> {
  await sql`
    create table accounts (
      id uuid primary key,
      name text collate "C" not null unique check (char_length(name) between 1 and 100),
      instance_quota integer check (instance_quota >= 0),
      created_at timestamptz(3) not null default now()
    )`.execute(db)

  await sql`
    create table instances (
      id uuid primary key,
      account_id uuid not null references accounts on delete cascade,
      name text collate "C" not null check (char_length(name) between 1 and 100),
      desired_state text not null default 'disconnected' check (desired_state in ('connected', 'disconnected')),
      number_jid text check (number_jid ~ '^[0-9]+@s[.]whatsapp[.]net$'),
      paired_at timestamptz(3),
      logged_out_at timestamptz(3),
      profile_name text,
      profile_picture_url text,
      is_business boolean not null default false,
      business_name text,
      created_at timestamptz(3) not null default now(),
      updated_at timestamptz(3) not null default now(),
      unique (account_id, name),
      check (paired_at is null or number_jid is not null),
      check (business_name is null or is_business)
    )`.execute(db)
  await sql`create index instances_in_order on instances (account_id, created_at, id)`.execute(db)

  await sql`
    create table tokens (
      id uuid primary key,
      kind text not null check (kind in ('account', 'instance')),
      account_id uuid references accounts on delete cascade,
      instance_id uuid references instances on delete cascade,
      digest bytea not null unique check (octet_length(digest) = 32),
      sealed bytea,
      label text,
      created_at timestamptz(3) not null default now(),
      last_used_at timestamptz(3),
      revoked_at timestamptz(3),
      check ((kind = 'account') = (account_id is not null)),
      check ((kind = 'instance') = (instance_id is not null))
    )`.execute(db)
  await sql`create index tokens_of_account on tokens (account_id) where account_id is not null`.execute(db)
  await sql`create index tokens_of_instance on tokens (instance_id) where instance_id is not null`.execute(db)

  const events = sql`text[] not null default '{}' check (events <@ array[
    'message.exchange', 'message.status', 'call.update', 'group.flow', 'instance.state', 'label.update'
  ])`

  await sql`
    create table webhooks (
      id uuid primary key,
      instance_id uuid not null references instances on delete cascade,
      label text collate "C" not null check (char_length(label) between 1 and 100),
      enabled boolean not null,
      url text,
      authorization_sealed bytea,
      by_events boolean not null default false,
      events ${events},
      media_base64 boolean not null default false,
      unique (instance_id, label),
      check (not enabled or url is not null)
    )`.execute(db)

  await sql`
    create table websockets (
      instance_id uuid primary key references instances on delete cascade,
      enabled boolean not null,
      events ${events},
      media_base64 boolean not null default false
    )`.execute(db)

  await sql`
    create table chatwoots (
      instance_id uuid primary key references instances on delete cascade,
      enabled boolean not null,
      status text check (status in ('active', 'paused', 'error')),
      last_error text,
      bridge_integration_id text,
      base_url text,
      account_id integer check (account_id > 0),
      inbox_name text,
      api_token_sealed bytea,
      sign_messages boolean not null default false,
      ignore_groups boolean not null default false,
      start_as_pending boolean not null default false,
      reopen_resolved boolean not null default false,
      check (not enabled or (status is not null and base_url is not null and account_id is not null and inbox_name is not null)),
      check (last_error is null or (status is not null and status = 'error'))
    )`.execute(db)

  await sql`
    create table proxies (
      instance_id uuid primary key references instances on delete cascade,
      enabled boolean not null,
      host text,
      port integer check (port between 1 and 65535),
      protocol text check (protocol in ('http', 'https', 'socks5')),
      username text,
      password_sealed bytea,
      check (not enabled or (host is not null and port is not null and protocol is not null))
    )`.execute(db)

  await sql`
    create table settings (
      instance_id uuid primary key references instances on delete cascade,
      auto_reject_calls boolean not null default false,
      call_reject_message text not null default '' check (char_length(call_reject_message) <= 1000),
      ignore_group_messages boolean not null default false,
      keep_online_status boolean not null default false,
      auto_read_messages boolean not null default false,
      disable_history_sync boolean not null default true,
      ignore_status boolean not null default false
    )`.execute(db)

  await sql`
    create table s3s (
      instance_id uuid primary key references instances on delete cascade,
      enabled boolean not null,
      region text,
      bucket text,
      endpoint text,
      path_prefix text,
      access_key_sealed bytea,
      secret_key_sealed bytea,
      check (not enabled or (region is not null and bucket is not null)),
      check ((access_key_sealed is null) = (secret_key_sealed is null))
    )`.execute(db)
}
