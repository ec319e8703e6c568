import { Client } from 'pg'
import type { OwnerChange, SessionWrite } from './history-checker.ts'

/*
 * The database's own record of who wrote what: triggers that only tests have. A node is known by the application_name of
 * its connections, and the epoch that a statement names by what the fence of an audited build has set. The owner that there
 * is when a session is written is read with a snapshot of that moment, as functions that change something do.
 */
const AUDIT = `
  create schema audit;
  create sequence audit.moments;
  create table audit.labels (id uuid primary key, label text not null);
  create table audit.owners (
    moment bigint primary key default nextval('audit.moments'), instance_id uuid, node_id uuid, epoch bigint);
  create table audit.writes (
    moment bigint primary key default nextval('audit.moments'), instance_id uuid, what text, operation text,
    writer text, epoch bigint, node_id uuid, owner_epoch bigint);

  create function audit.label() returns text language sql as $$ select current_setting('application_name') $$;

  create function audit.note_node() returns trigger language plpgsql as $$ begin
    insert into audit.labels values (new.id, audit.label()) on conflict (id) do nothing;
    return null;
  end $$;
  create trigger audit after insert on nodes for each row execute function audit.note_node();

  create function audit.note_owner() returns trigger language plpgsql as $$ begin
    insert into audit.owners (instance_id, node_id, epoch) values (new.instance_id, new.node_id, new.epoch);
    return null;
  end $$;
  create trigger audit after insert or update on session_owners for each row execute function audit.note_owner();

  create function audit.note_write(instance uuid, what text, operation text) returns void language sql volatile as $$
    insert into audit.writes (instance_id, what, operation, writer, epoch, node_id, owner_epoch)
    select instance, what, operation, audit.label(), nullif(current_setting('audit.epoch', true), '')::bigint,
      owners.node_id, owners.epoch
    from (select) as one left join public.session_owners as owners on owners.instance_id = instance $$;

  create function audit.note_auth() returns trigger language plpgsql as $$ begin
    perform audit.note_write(coalesce(new.instance_id, old.instance_id), tg_argv[0], tg_op);
    return null;
  end $$;
  create trigger audit after insert or update or delete on auth_creds
    for each row execute function audit.note_auth('creds');
  create trigger audit after insert or update or delete on auth_keys
    for each row execute function audit.note_auth('keys');

  create function audit.note_facts() returns trigger language plpgsql as $$ begin
    perform audit.note_write(new.id, 'facts', tg_op);
    return null;
  end $$;
  create trigger audit after update of number_jid, paired_at, logged_out_at, profile_name, profile_picture_url
    on instances for each row execute function audit.note_facts();`

export type Audit = {
  owners: OwnerChange[]
  writes: SessionWrite[]
}

/** Has a migrated database record who owns sessions and who writes for them, from now on. */
export const startAudit = (databaseUrl: string): Promise<void> =>
  withClient(databaseUrl, async (client) => {
    await client.query(AUDIT)
  })

export const readAudit = (databaseUrl: string): Promise<Audit> =>
  withClient(databaseUrl, async (client) => {
    const { rows: owners } = await client.query(`
      select instance_id as "instanceId", label as owner, epoch::float as epoch
      from audit.owners left join audit.labels on id = node_id order by moment`)
    const { rows: writes } = await client.query(`
      select instance_id as "instanceId", what, operation, writer, epoch::float as epoch, label as owner,
        owner_epoch::float as "ownerEpoch"
      from audit.writes left join audit.labels on id = node_id order by moment`)
    return { owners, writes }
  })

/** How often each session went from one node to another. */
export async function movesIn(databaseUrl: string): Promise<Map<string, number>> {
  const { owners } = await readAudit(databaseUrl)
  const [last, moves] = [new Map<string, string>(), new Map<string, number>()]
  for (const { instanceId, owner } of owners) {
    if (owner === null) continue
    const before = last.get(instanceId)
    if (before !== undefined && before !== owner) moves.set(instanceId, (moves.get(instanceId) ?? 0) + 1)
    last.set(instanceId, owner)
  }
  return moves
}

/** Who owns each instance now: the label of a registered node, or null. */
export const ownersIn = (databaseUrl: string): Promise<Map<string, string | null>> =>
  withClient(databaseUrl, async (client) => {
    const { rows } = await client.query(`
      select instance_id, label
      from session_owners
        left join nodes on nodes.id = session_owners.node_id and nodes.epoch = session_owners.node_epoch
        left join audit.labels on labels.id = nodes.id`)
    return new Map(rows.map(({ instance_id, label }) => [instance_id, label]))
  })

async function withClient<Result>(databaseUrl: string, work: (client: Client) => Promise<Result>): Promise<Result> {
  const client = new Client({ connectionString: databaseUrl, application_name: 'audit', query_timeout: 10_000 })
  // A server that goes away fails the statement as well.
  client.on('error', () => {})
  await client.connect()
  try {
    return await work(client)
  } finally {
    await client.end()
  }
}
