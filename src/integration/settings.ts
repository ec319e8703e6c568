import { builder } from '../graphql/builder.ts'
import { Instance } from '../instance/type.ts'
import type { Settings } from './queries.ts'

const InstanceSettings = builder.objectRef<Settings>('InstanceSettings').implement({
  description: 'How an instance behaves.',
  fields: (t) => ({
    autoRejectCalls: t.exposeBoolean('autoRejectCalls', { description: 'Reject incoming calls.' }),
    callRejectMessage: t.exposeString('callRejectMessage', { description: 'Text sent on rejecting; empty: none.' }),
    ignoreGroupMessages: t.exposeBoolean('ignoreGroupMessages', { description: 'Drop group messages.' }),
    keepOnlineStatus: t.exposeBoolean('keepOnlineStatus', { description: 'Appear online; acts at once.' }),
    autoReadMessages: t.exposeBoolean('autoReadMessages', { description: 'Mark messages as read.' }),
    disableHistorySync: t.exposeBoolean('disableHistorySync', {
      description: 'Do not ask for history; true unless changed.',
    }),
    ignoreStatus: t.exposeBoolean('ignoreStatus', { description: 'Drop status posts.' }),
  }),
})

builder.objectField(Instance, 'settings', (t) =>
  t.field({
    type: InstanceSettings,
    nullable: true,
    description: 'Behaviour flags, always complete; null only beside an error.',
    resolve: ({ id }, _args, { loaders }) => loaders.settings.load(id),
  }),
)
