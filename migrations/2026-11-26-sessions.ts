import { type Kysely, sql } from 'kysely'

/** What lets a session come back: auth state, why it stopped for good, and an epoch that rises with each start. */
export async function up(db: Kysely<unknown>): Promise<void> {
  await sql`create sequence registry_epochs`.execute(db)

  await sql`
    alter table instances
      add column stop_reason text check (stop_reason in (
        'REPLACED', 'BANNED', 'CLIENT_OUTDATED', 'MULTIDEVICE_MISMATCH', 'BAD_SESSION', 'SERVER_REFUSED'
      )),
      add column stop_whatsapp_code integer,
      add column stopped_at timestamptz(3),
      add column profile_observed_at timestamptz(3),
      add check ((stop_reason is null) = (stopped_at is null)),
      add check (stop_whatsapp_code is null or stop_reason is not null)`.execute(db)
  await sql`create index instances_to_connect on instances (id) where desired_state = 'connected'`.execute(db)

  await sql`
    create table auth_creds (
      instance_id uuid primary key references instances on delete cascade,
      creds_sealed bytea not null,
      updated_at timestamptz(3) not null default now()
    )`.execute(db)

  await sql`
    create table auth_keys (
      instance_id uuid not null references instances on delete cascade,
      type text collate "C" not null,
      id text collate "C" not null,
      value_sealed bytea not null,
      primary key (instance_id, type, id)
    )`.execute(db)
}
