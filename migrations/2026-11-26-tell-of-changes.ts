import { type Kysely, sql } from 'kysely'

/** Columns of an instance that answers are written from. */
const SHOWN_COLUMNS = sql`id, account_id, name, desired_state, number_jid, paired_at, logged_out_at, profile_name,
  profile_picture_url, is_business, business_name, stop_reason, stop_whatsapp_code, stopped_at, created_at, updated_at`
const INTEGRATIONS = ['webhooks', 'websockets', 'chatwoots', 'proxies', 'settings', 's3s']
/** So many rows of one statement are told of by their accounts. */
const MANY = 1_000
const TABLES = ['accounts', 'tokens', 'instances', ...INTEGRATIONS]

/**
 * Notices of committed changes for what gateways keep in memory, on the channel switchboard_changes: which account,
 * instance or token, never what it holds. When a token was last used is not worth a notice.
 */
export async function up(db: Kysely<unknown>): Promise<void> {
  const triggerFunction = (name: string, body: string) =>
    sql`create function ${sql.raw(name)}() returns trigger language plpgsql set search_path from current as ${sql.lit(body)}`.execute(
      db,
    )

  await triggerFunction(
    'note_account_change',
    `begin
      perform pg_notify('switchboard_changes', 'account ' || old.id);
      return null;
    end`,
  )
  await triggerFunction(
    'note_token_change',
    `begin
      perform pg_notify('switchboard_changes', 'token ' || old.id);
      return null;
    end`,
  )
  await triggerFunction(
    'note_instance_change',
    `begin
      if (old.id, old.account_id) is distinct from (new.id, new.account_id) and tg_op = 'UPDATE' then
        perform pg_notify('switchboard_changes', 'everything');
      else
        perform pg_notify('switchboard_changes', 'instance ' || old.account_id || ' ' || old.id);
      end if;
      return null;
    end`,
  )
  // The instance of a row that goes with it is gone already, and has a notice of its own.
  await triggerFunction(
    'note_integration_change',
    `begin
      perform pg_notify('switchboard_changes', 'instance ' || account_id || ' ' || id) from instances
      where id = old.instance_id or (tg_op = 'UPDATE' and id = new.instance_id);
      return null;
    end`,
  )
  // Rows may come by the hundred thousand: then their accounts are told of, and not each of them.
  const noteInserted = (name: string, instances: string) =>
    triggerFunction(
      name,
      `begin
        if (select count(*) from inserted) > ${MANY} then
          perform pg_notify('switchboard_changes', 'account ' || account_id)
          from (select distinct account_id from ${instances} as inserted_instances) as accounts_of_inserted;
        else
          perform pg_notify('switchboard_changes', 'instance ' || account_id || ' ' || id)
          from ${instances} as inserted_instances;
        end if;
        return null;
      end`,
    )
  await noteInserted('note_inserted_instances', 'inserted')
  await noteInserted(
    'note_inserted_integrations',
    '(select i.account_id, i.id from inserted join instances i on i.id = inserted.instance_id)',
  )
  await triggerFunction(
    'note_truncation',
    `begin
      perform pg_notify('switchboard_changes', 'everything');
      return null;
    end`,
  )

  await sql`create trigger note_change after update or delete on accounts
    for each row execute function note_account_change()`.execute(db)
  await sql`create trigger note_change after update of id, kind, account_id, instance_id, digest, revoked_at or delete on tokens
    for each row execute function note_token_change()`.execute(db)
  await sql`create trigger note_change after update of ${SHOWN_COLUMNS} or delete on instances
    for each row execute function note_instance_change()`.execute(db)
  await sql`create trigger note_inserted after insert on instances
    referencing new table as inserted for each statement execute function note_inserted_instances()`.execute(db)
  for (const table of INTEGRATIONS) {
    await sql`create trigger note_change after update or delete on ${sql.table(table)}
      for each row execute function note_integration_change()`.execute(db)
    await sql`create trigger note_inserted after insert on ${sql.table(table)}
      referencing new table as inserted for each statement execute function note_inserted_integrations()`.execute(db)
  }
  for (const table of TABLES) {
    await sql`create trigger note_truncation after truncate on ${sql.table(table)}
      for each statement execute function note_truncation()`.execute(db)
  }
}
