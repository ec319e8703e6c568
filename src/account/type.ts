import { builder } from '../graphql/builder.ts'
import { Node } from '../node/type.ts'
import type { Account as AccountRow } from './queries.ts'

export const Account = builder.objectRef<AccountRow>('Account').implement({
  description: 'A tenant.',
  interfaces: [Node],
  fields: (t) => ({
    id: t.exposeID('id', { description: 'Opaque id.' }),
    name: t.exposeString('name', { description: "The operator's name for the account." }),
    instanceCount: t.int({
      description: 'Instances that exist now.',
      resolve: ({ id }, _args, { loaders }) => loaders.instanceCount.load(id),
    }),
    instanceQuota: t.exposeInt('instanceQuota', {
      nullable: true,
      description: 'The most it may have; null: no quota.',
    }),
  }),
})
