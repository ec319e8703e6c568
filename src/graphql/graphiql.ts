import type { IncomingMessage } from 'node:http'
import type { GraphiQLOptions } from 'graphql-yoga'

/** Empty counts as no token, with which the schema still loads; a placeholder would be refused. */
const HEADERS = JSON.stringify({ token: '' }, null, 2)

const INSTANCES = `# Put your token into "Headers" below,
# then press the play button.
query Instances {
  instances {
    name
    connection { state displayStatus reason { message nextStep } }
    profile { name pictureUrl }
    webhook { enabled url events }
  }
}
`
const BY_NAME = `# Each tab has headers of its own.
query InstancesByName($names: [String] = ["sales", "support"]) {
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
const LIVE = `# Press play, and again to stop. First comes every instance, then each change.
subscription Live {
  connectionChanged {
    kind
    instanceName
    connection { state displayStatus reason { message nextStep } }
    snapshotRemaining
  }
}
`

/** Example tabs, shown until the user has tabs of their own. */
const graphiqlOptions: GraphiQLOptions = {
  title: 'Switchboard GraphiQL',
  // The first tab takes its headers from here, and so does every new one.
  defaultHeaders: HEADERS,
  defaultEditorToolsVisibility: 'headers',
  defaultTabs: [INSTANCES, BY_NAME, VIEWER, LIVE].map((query) => ({ query, headers: HEADERS })),
}

/** GraphiQL opens an empty tab on a reload unless the stored editors are those of the stored tab: make them so first. */
const KEEP_TAB_ON_RELOAD = `<script>
try {
  const { tabs, activeTabIndex } = JSON.parse(localStorage.getItem('graphiql:tabState'))
  for (const editor of ['query', 'variables', 'headers']) {
    const text = tabs[activeTabIndex][editor]
    if (text) localStorage.setItem('graphiql:' + editor, text)
    else localStorage.removeItem('graphiql:' + editor)
  }
} catch {}
</script>
<div id="root">`

let page: Promise<Buffer> | undefined

/** The page with all its scripts inside, 9 MB: loaded when it is first asked for, and one copy for everybody. */
export function graphiqlPage(): Promise<Buffer> {
  page ??= (async () => {
    const { renderGraphiQL } = await import('@graphql-yoga/render-graphiql')
    return Buffer.from(renderGraphiQL(graphiqlOptions).replace('<div id="root">', () => KEEP_TAB_ON_RELOAD))
  })()
  return page
}

/** A browser that opens the address, as opposed to a program that asks a query. */
export const wantsGraphiQL = ({ method, headers }: IncomingMessage): boolean =>
  (method === 'GET' || method === 'HEAD') && Boolean(headers.accept?.includes('text/html'))
