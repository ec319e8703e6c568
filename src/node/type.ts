import { builder } from '../graphql/builder.ts'
import { isUuid } from '../uuid.ts'

/** The Relay interface; each implementing type stands with its noun. */
export const Node = builder.interfaceRef<{ id: string }>('Node').implement({
  description: 'An object with an id that is unique across types.',
  fields: (t) => ({
    id: t.exposeID('id', { description: 'The same UUID as `id` in REST; treat as opaque.' }),
  }),
})

builder.queryField('node', (t) =>
  t.field({
    type: Node,
    nullable: true,
    description: 'Refetch by id, under the same visibility as instance(name:).',
    args: { id: t.arg.id({ required: true }) },
    resolve: async (_root, { id }, { viewer, loaders }) => {
      if (!isUuid(id)) return null
      if (viewer.kind === 'account' && viewer.accountId === id) {
        const account = await loaders.account.load(id)
        return account && { __typename: 'Account', ...account }
      }
      const instance = await loaders.instanceById.load(id)
      return instance && { __typename: 'Instance', ...instance }
    },
  }),
)
