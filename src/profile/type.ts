import { builder } from '../graphql/builder.ts'
import { Instance } from '../instance/type.ts'
import type { Profile } from './queries.ts'

const ProfileType = builder.objectRef<Profile>('Profile').implement({
  description: 'The WhatsApp profile; null is "not known" (REST says an empty string).',
  fields: (t) => ({
    name: t.exposeString('name', { nullable: true, description: 'WhatsApp display name.' }),
    pictureUrl: t.exposeString('pictureUrl', {
      nullable: true,
      description: "Cached picture address; expires at WhatsApp's will.",
    }),
    isBusiness: t.exposeBoolean('isBusiness', { description: 'Whether it is WhatsApp Business.' }),
    businessName: t.exposeString('businessName', {
      nullable: true,
      description: 'Business name; null if not Business.',
    }),
  }),
})

builder.objectField(Instance, 'profile', (t) =>
  t.field({
    type: ProfileType,
    nullable: true,
    description: 'The WhatsApp profile; null only beside an error.',
    resolve: ({ id }, _args, { loaders }) => loaders.profile.load(id),
  }),
)
