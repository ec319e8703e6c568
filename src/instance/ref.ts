import { builder } from '../graphql/builder.ts'

export const InstanceRef = builder.inputType('InstanceRef', {
  description: 'Which instance; one that is not visible is INSTANCE_NOT_FOUND, whoever owns it.',
  isOneOf: true,
  fields: (t) => ({
    id: t.id({ description: 'By id: safe against a name that was deleted and created again.' }),
    name: t.string({ description: 'By exact name.' }),
  }),
})
