import { type Kysely, sql } from 'kysely'

/**
 * Who runs the session of an instance. A session is owned exactly while the registration (`node_id`, `node_epoch`) of its
 * owner is a row in `nodes`; `epoch` rises with every claim, handover and release, and every write of a session names it.
 */
export async function up(db: Kysely<unknown>): Promise<void> {
  await sql`
    create table nodes (
      id uuid primary key,
      epoch bigint not null,
      lease_until timestamptz(3) not null,
      address text,
      owned integer not null default 0,
      is_draining boolean not null default false,
      key_check text,
      process text,
      name text not null,
      started_at timestamptz(3) not null default clock_timestamp()
    )`.execute(db)

  await sql`
    create table session_owners (
      instance_id uuid primary key references instances on delete cascade,
      node_id uuid,
      node_epoch bigint,
      epoch bigint not null default 0,
      claimed_at timestamptz(3),
      check ((node_id is null) = (node_epoch is null))
    )`.execute(db)
  await sql`create index session_owners_of_node on session_owners (node_id, claimed_at) where node_id is not null`.execute(
    db,
  )

  // The row stands as long as its instance, so that there is always one to lock, and an epoch is never forgotten.
  await sql`
    create function add_session_owners() returns trigger language plpgsql set search_path from current as ${sql.lit(
      `begin
        insert into session_owners (instance_id) select id from inserted on conflict do nothing;
        return null;
      end`,
    )}`.execute(db)
  await sql`create trigger add_session_owners after insert on instances
    referencing new table as inserted for each statement execute function add_session_owners()`.execute(db)
  // What was told before had the epochs of that sequence.
  await sql`
    insert into session_owners (instance_id, epoch)
    select instances.id, registry_epochs.last_value from instances, registry_epochs on conflict do nothing`.execute(db)
  // Processes of the version before fence by its old name, and know of no owners: they can neither write nor take over.
  await sql`alter sequence registry_epochs rename to node_epochs`.execute(db)
}
