import { builder } from '../graphql/builder.ts'
import { Node } from '../node/type.ts'
import { filterOfNames } from './names.ts'
import type { Instance as InstanceRow } from './queries.ts'

export const Instance = builder.objectRef<InstanceRow>('Instance').implement({
  description: "One WhatsApp number's place in the system.",
  interfaces: [Node],
  fields: (t) => ({
    id: t.exposeID('id', { description: 'UUID, the same as in REST; never reused, also when a name is.' }),
    name: t.exposeString('name', { description: 'Unique in the account, case-sensitive, fixed at creation.' }),
    createdAt: t.expose('createdAt', { type: 'DateTime', description: 'When it was created.' }),
    updatedAt: t.expose('updatedAt', {
      type: 'DateTime',
      description: 'When a stored fact or a setting last changed; connection changes do not touch it.',
    }),
  }),
})

builder.queryField('instances', (t) =>
  t.field({
    type: [Instance],
    description:
      'The instances the token may see, oldest first. names absent or null: all; given: those that exist (unknown names and nulls are ignored, [] gives []). An instance token always gets its own. At most 1,000 names.',
    args: { names: t.arg.stringList({ required: { list: false, items: false } }) },
    resolve: (_root, { names }, { viewer, loaders }) => loaders.instances.load(filterOfNames(viewer, names)),
  }),
)

builder.queryField('instance', (t) =>
  t.field({
    type: Instance,
    nullable: true,
    description:
      'One instance by exact name; null when it does not exist or is not visible, which cannot be told apart. Not widened for an instance token.',
    args: { name: t.arg.string({ required: true }) },
    resolve: async (_root, { name }, { loaders }) => (await loaders.instances.load([name]))[0] ?? null,
  }),
)
