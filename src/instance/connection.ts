import { badUserInput } from '../errors.ts'
import { builder } from '../graphql/builder.ts'
import { type Position, readCursor, writeCursor } from './cursor.ts'
import type { Page } from './loaders.ts'
import type { Instance as InstanceRow } from './queries.ts'
import { Instance } from './type.ts'

const MAX_PAGE = 200

const PageInfo = builder.objectRef<Page>('PageInfo').implement({
  description: 'Relay page information.',
  fields: (t) => ({
    hasNextPage: t.exposeBoolean('hasNextPage', { description: 'Whether more follow.' }),
    hasPreviousPage: t.boolean({ description: 'Always false: pages go forward only.', resolve: () => false }),
    startCursor: t.string({
      nullable: true,
      description: 'Cursor of the first edge.',
      resolve: ({ instances }) => cursorOf(instances[0]),
    }),
    endCursor: t.string({
      nullable: true,
      description: 'Cursor of the last edge: the next `after`.',
      resolve: ({ instances }) => cursorOf(instances.at(-1)),
    }),
  }),
})

const cursorOf = (instance: Position | undefined) => (instance ? writeCursor(instance) : null)

const InstanceEdge = builder.objectRef<InstanceRow>('InstanceEdge').implement({
  description: 'An instance in a page.',
  fields: (t) => ({
    cursor: t.string({
      description: 'Opaque; stays valid when instances are created or deleted.',
      resolve: (instance) => writeCursor(instance),
    }),
    node: t.field({ type: Instance, description: 'The instance.', resolve: (instance) => instance }),
  }),
})

/** The page is read when a field asks for it: `totalCount` alone reads none. */
const InstanceConnection = builder.objectRef<{ page: () => Promise<Page> }>('InstanceConnection').implement({
  description: 'A page of instances. (Relay connection: the state of the link to WhatsApp is ConnectionStatus.)',
  fields: (t) => ({
    edges: t.field({
      type: [InstanceEdge],
      description: 'The page, with cursors.',
      resolve: async ({ page }) => (await page()).instances,
    }),
    nodes: t.field({
      type: [Instance],
      description: 'The page, without cursors.',
      resolve: async ({ page }) => (await page()).instances,
    }),
    pageInfo: t.field({ type: PageInfo, description: 'Where the page stands.', resolve: ({ page }) => page() }),
    totalCount: t.int({
      description: 'All instances the token may see, counted only when selected.',
      resolve: (_connection, _args, { viewer, loaders }) =>
        viewer.kind === 'account' ? loaders.instanceCount.load(viewer.accountId) : 1,
    }),
  }),
})

builder.queryField('instancesConnection', (t) =>
  t.field({
    type: InstanceConnection,
    description: 'The same instances by keyset pages, for accounts too large for one list. first: 1 to 200.',
    args: { first: t.arg.int({ defaultValue: 50 }), after: t.arg.string() },
    resolve: (_root, { first, after }, { loaders }) => {
      // null is what a client sends for "not given".
      const size = first ?? 50
      if (size < 1 || size > MAX_PAGE) throw badUserInput('first', `first has to be from 1 to ${MAX_PAGE}`)
      const position = after == null ? null : readCursor(after)
      return { page: () => loaders.instancePage.load({ first: size, after: position }) }
    },
  }),
)
