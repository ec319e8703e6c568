import type { FirstContact } from './bootstrap.ts'
import type { Config } from './config.ts'
import { databaseNameOf, serverOf } from './db/address.ts'

const EMBEDDED = [
  'Database:  embedded, for trying out and for small installations. Set DATABASE_URL',
  '           to use PostgreSQL.',
]

/** The gateway that tells of itself. */
type Started = { url: string; node: { id: string; address: string } | null; firstContact: FirstContact }

/** What a person who starts the gateway is told on stdout, whatever the log level. */
export function banner(
  { url, node, firstContact: contact }: Started,
  { graphiql, databaseUrl, dataDir }: Pick<Config, 'graphiql' | 'databaseUrl' | 'dataDir'>,
): string {
  const token = contact.kind === 'demo made' ? contact.token : 'YOUR_TOKEN'
  return [
    '',
    'Switchboard is running.',
    '',
    graphiql ? `  GraphiQL:  ${url}/graphql` : `  GraphQL:   ${url}/graphql`,
    ...(node ? [`  Node:      ${node.id} at ${node.address}`] : []),
    ...databaseOf(databaseUrl, dataDir).map((line) => `  ${line}`),
    ...introduce(contact, databaseUrl === null).map((line) => `  ${line}`),
    '',
    '  REST:',
    `    curl -H 'token: ${token}' '${url}/api/instance/list'`,
    '  GraphQL:',
    `    curl -H 'token: ${token}' -H 'content-type: application/json' '${url}/graphql' \\`,
    `      -d '{"query":"{ instances { name connection { state } webhook { url } } }"}'`,
    '',
  ].join('\n')
}

function databaseOf(databaseUrl: string | null, dataDir: string): string[] {
  if (databaseUrl === null) return [...EMBEDDED, `           Its folder, DATA_DIR: ${dataDir}`]
  return [`Database:  ${databaseNameOf(databaseUrl)} at ${serverOf(databaseUrl)}`]
}

function introduce(contact: FirstContact, isEmbedded: boolean): string[] {
  switch (contact.kind) {
    case 'demo made':
      return [
        `Token:     ${contact.token}`,
        '           It is the TokenAccount of the account "demo" and is shown this once.',
        '           The account has four sample instances, connected to nothing. Start with',
        `           DEMO=false on ${isEmbedded ? 'a new DATA_DIR' : 'an empty database'} to begin empty.`,
      ]
    case 'demo exists':
      return [
        'Token:     that of the account "demo" was shown at the first start. For a new one:',
        '           npm run --silent cli -- account rotate-token demo',
      ]
    case 'no account':
      return ['There is no account yet. Make one, and its token:', '  npm run --silent cli -- account create NAME']
    case 'in use':
      return []
  }
}
