/** A request that is measured, and the one statement with which PostgreSQL can build its whole body at best. */
export type Work = {
  /** As in the table: `W2-100` is the full query over 100 instances. */
  name: string
  /** Which of the seeded accounts asks. */
  instances: number
  method: 'GET' | 'POST'
  path: string
  body: string
  /** Answers one row with the column `body`; $1 is the digest of the token. */
  statement: string
}

export const SIZES = [1, 10, 100, 1_000] as const

const POLLED = 'number-00000'

const NARROW = '{ instances { name connection { state } } }'
const POLL = `{ instance(name: "${POLLED}") { name connection { state } } }`
const FULL = `{ instances { id name createdAt updatedAt
  connection { state desiredState numberJid presenceStatus displayStatus since observedAt sequence
    reason { code message whatsappCode nextStep retryAt } }
  profile { name pictureUrl isBusiness businessName }
  webhook { label enabled url hasAuthorization byEvents events mediaBase64 }
  websocket { enabled events mediaBase64 }
  chatwoot { enabled status lastError bridgeIntegrationId baseUrl accountId inboxName hasApiToken }
  proxy { enabled host port protocol username hasPassword }
  settings { autoRejectCalls callRejectMessage ignoreGroupMessages keepOnlineStatus autoReadMessages
    disableHistorySync ignoreStatus }
  s3 { enabled region bucket endpoint pathPrefix hasCredentials } } }`

const ISO = `'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'`
const iso = (column: string) => `to_char(${column} at time zone 'utc', ${ISO})`

/** The instances of the token as i, oldest first, each as `item`. */
const listOf = (item: string, joins = '') => `
  coalesce(json_agg(${item} order by i.created_at, i.id), '[]'::json)
  from tokens t join instances i on i.account_id = t.account_id ${joins}
  where t.digest = $1 and t.revoked_at is null`

const JOINS = `
  left join webhooks w on w.instance_id = i.id and w.label = 'default' and w.enabled
  left join websockets s on s.instance_id = i.id and s.enabled
  left join chatwoots c on c.instance_id = i.id and c.enabled
  left join proxies p on p.instance_id = i.id and p.enabled
  left join settings b on b.instance_id = i.id
  left join s3s m on m.instance_id = i.id and m.enabled`

const isLoggedOut = 'i.logged_out_at is not null'
const stateOf = (loggedOut: string, resting: string) =>
  `case when ${isLoggedOut} then '${loggedOut}' else '${resting}' end`

const NARROW_ITEM = `json_build_object('name', i.name,
  'connection', json_build_object('state', ${stateOf('LOGGED_OUT', 'DISCONNECTED')}))`

const upperEvents = (table: string) => `case
  when ${table}.instance_id is null then '{}'::text[]
  when ${table}.events = '{}' then array['MESSAGE_EXCHANGE', 'MESSAGE_STATUS', 'CALL_UPDATE', 'GROUP_FLOW', 'INSTANCE_STATE', 'LABEL_UPDATE']
  else (select array_agg(replace(upper(event), '.', '_') order by n) from unnest(${table}.events) with ordinality as e(event, n)) end`

const SETTINGS = `json_build_object(
  'autoRejectCalls', coalesce(b.auto_reject_calls, false), 'callRejectMessage', coalesce(b.call_reject_message, ''),
  'ignoreGroupMessages', coalesce(b.ignore_group_messages, false), 'keepOnlineStatus', coalesce(b.keep_online_status, false),
  'autoReadMessages', coalesce(b.auto_read_messages, false), 'disableHistorySync', coalesce(b.disable_history_sync, true),
  'ignoreStatus', coalesce(b.ignore_status, false))`

const FULL_ITEM = `json_build_object(
  'id', i.id, 'name', i.name, 'createdAt', ${iso('i.created_at')}, 'updatedAt', ${iso('i.updated_at')},
  'connection', json_build_object(
    'state', ${stateOf('LOGGED_OUT', 'DISCONNECTED')}, 'desiredState', upper(i.desired_state),
    'numberJid', i.number_jid, 'presenceStatus', 'UNAVAILABLE',
    'displayStatus', ${stateOf('Logged out', 'Disconnected')},
    'since', ${iso('coalesce(i.logged_out_at, i.created_at)')}, 'observedAt', null, 'sequence', 0,
    'reason', json_build_object(
      'code', ${stateOf('LOGGED_OUT', 'NOT_PAIRED')},
      'message', ${stateOf('The pairing was ended here or on the phone.', 'This instance was never paired with a phone.')},
      'whatsappCode', null, 'nextStep', 'PAIR', 'retryAt', null)),
  'profile', json_build_object('name', i.profile_name, 'pictureUrl', i.profile_picture_url,
    'isBusiness', i.is_business, 'businessName', i.business_name),
  'webhook', json_build_object('label', 'default', 'enabled', w.id is not null, 'url', w.url,
    'hasAuthorization', w.authorization_sealed is not null, 'byEvents', coalesce(w.by_events, false),
    'events', ${upperEvents('w')}, 'mediaBase64', coalesce(w.media_base64, false)),
  'websocket', json_build_object('enabled', s.instance_id is not null, 'events', ${upperEvents('s')},
    'mediaBase64', coalesce(s.media_base64, false)),
  'chatwoot', json_build_object('enabled', c.instance_id is not null, 'status', upper(c.status), 'lastError', c.last_error,
    'bridgeIntegrationId', c.bridge_integration_id, 'baseUrl', c.base_url, 'accountId', c.account_id,
    'inboxName', c.inbox_name, 'hasApiToken', c.api_token_sealed is not null),
  'proxy', json_build_object('enabled', p.instance_id is not null, 'host', p.host, 'port', p.port,
    'protocol', upper(p.protocol), 'username', p.username, 'hasPassword', p.password_sealed is not null),
  'settings', ${SETTINGS},
  's3', json_build_object('enabled', m.instance_id is not null, 'region', m.region, 'bucket', m.bucket,
    'endpoint', m.endpoint, 'pathPrefix', m.path_prefix, 'hasCredentials', m.secret_key_sealed is not null))`

const REST_ITEM = `json_build_object(
  'id', i.id, 'name', i.name, 'status', ${stateOf('loggedout', 'disconnected')}, 'numberJid', i.number_jid,
  'connection', json_build_object('state', ${stateOf('loggedout', 'disconnected')}, 'numberJid', i.number_jid,
    'presenceStatus', 'unavailable', 'displayStatus', ${stateOf('Logged out', 'Disconnected')}),
  'profile', json_build_object('name', coalesce(i.profile_name, ''), 'pictureUrl', coalesce(i.profile_picture_url, ''),
    'isBusiness', i.is_business, 'businessName', coalesce(i.business_name, '')),
  'webhook', json_build_object('label', 'default', 'enabled', w.id is not null, 'url', coalesce(w.url, ''),
    'byEvents', coalesce(w.by_events, false), 'events', coalesce(w.events, '{}'), 'mediaBase64', coalesce(w.media_base64, false)),
  'websocket', json_build_object('enabled', s.instance_id is not null, 'events', coalesce(s.events, '{}'),
    'mediaBase64', coalesce(s.media_base64, false)),
  'chatwoot', json_build_object('enabled', c.instance_id is not null, 'status', c.status,
    'bridgeIntegrationId', c.bridge_integration_id, 'baseUrl', c.base_url, 'accountId', c.account_id, 'inboxName', c.inbox_name),
  'proxy', json_build_object('enabled', p.instance_id is not null, 'host', p.host, 'port', p.port::text,
    'protocol', p.protocol, 'username', p.username),
  'settings', ${SETTINGS},
  's3', json_build_object('enabled', m.instance_id is not null, 'region', m.region, 'bucket', m.bucket,
    'endpoint', m.endpoint, 'pathPrefix', m.path_prefix),
  'createdAt', ${iso('i.created_at')}, 'updatedAt', ${iso('i.updated_at')})`

const graphqlBody = (instances: string) =>
  `select json_build_object('data', json_build_object('instances', (select ${instances})))::text as body`

const restBody = (instances: string) => `
  select json_build_object('success', true,
    'message', case n when 1 then '1 Instance found' else n || ' Instances found' end,
    'instances', items, 'meta', json_build_object('total', n))::text as body
  from (select items, json_array_length(items) as n from (select ${instances}) as l(items)) as listed`

const named = (list: string) => `${list} and i.name = '${POLLED}'`

type OfSize = Omit<Work, 'name' | 'instances'>

const graphql = (query: string, statement: string): OfSize => ({
  method: 'POST',
  path: '/graphql',
  body: JSON.stringify({ query }),
  statement,
})
const rest = (path: string, statement: string): OfSize => ({ method: 'GET', path, body: '', statement })

const LISTS: Record<string, OfSize> = {
  W1: graphql(NARROW, graphqlBody(listOf(NARROW_ITEM))),
  W2: graphql(FULL, graphqlBody(listOf(FULL_ITEM, JOINS))),
  W3: rest('/api/instance/list', restBody(listOf(REST_ITEM, JOINS))),
}

const POLLS: Record<string, OfSize> = {
  W4g: graphql(
    POLL,
    `select json_build_object('data', json_build_object('instance', (select json_agg(item) -> 0 from (
      select ${NARROW_ITEM} as item from tokens t join instances i on i.account_id = t.account_id
      where t.digest = $1 and t.revoked_at is null and i.name = '${POLLED}') as found)))::text as body`,
  ),
  W4r: rest(`/api/instance/list?instanceName=${POLLED}`, restBody(named(listOf(REST_ITEM, JOINS)))),
}

/** The works over accounts of these sizes; the polls ask for one name of a hundred. */
export const worksOf = (sizes: readonly number[]): Work[] => [
  ...sizes.flatMap((instances) =>
    Object.entries(LISTS).map(([kind, work]) => ({ name: `${kind}-${instances}`, instances, ...work })),
  ),
  ...Object.entries(POLLS).map(([name, work]) => ({ name, instances: 100, ...work })),
]
