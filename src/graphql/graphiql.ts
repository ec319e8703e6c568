import type { GraphiQLOptions } from 'graphql-yoga'

const HEADERS = JSON.stringify({ token: 'PASTE YOUR TOKEN HERE' }, null, 2)

const INSTANCES = `# Put your token under "Headers" below, then press the play button.
query Instances {
  instances {
    name
    connection { state displayStatus reason { message nextStep } }
    profile { name pictureUrl }
    webhook { enabled url events }
  }
}
`
const BY_NAME = `query InstancesByName($names: [String]) {
  instances(names: $names) {
    id
    name
    proxy { enabled host port protocol hasPassword }
    s3 { enabled bucket region hasCredentials }
    chatwoot { enabled status inboxName }
    settings { autoRejectCalls keepOnlineStatus }
  }
}
`
const VIEWER = `query Viewer {
  viewer {
    kind
    account { name instanceCount instanceQuota }
    rateLimit { limit remaining resetAt }
  }
}
`

/** Example tabs, shown until the user has tabs of their own. */
export const graphiqlOptions: GraphiQLOptions = {
  title: 'Switchboard GraphiQL',
  defaultTabs: [
    { query: INSTANCES, headers: HEADERS },
    { query: BY_NAME, headers: HEADERS, variables: JSON.stringify({ names: ['sales', 'support'] }, null, 2) },
    { query: VIEWER, headers: HEADERS },
  ],
}

/** The page with all its scripts inside, 9 MB, so it is loaded when it is first asked for. */
export const renderGraphiQL = async (options?: GraphiQLOptions): Promise<string> =>
  (await import('@graphql-yoga/render-graphiql')).renderGraphiQL(options)
