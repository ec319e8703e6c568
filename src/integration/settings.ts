import { builder } from '../graphql/builder.ts'
import { Instance } from '../instance/type.ts'
import type { Settings } from './queries.ts'
import { badUserInput } from '../errors.ts'
import { configure } from '../instance/configure.ts'
import { InstanceRef } from '../instance/ref.ts'
import type { Instance as InstanceRow } from '../instance/queries.ts'
import { validate } from '../validate.ts'
import { updateSettings } from './actions.ts'
import { settingsRule } from './config.ts'

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

export const SettingsPatchInput = builder.inputType('SettingsPatch', {
  description: 'Settings to change: left out is unchanged, null is BAD_USER_INPUT.',
  fields: (t) => ({
    autoRejectCalls: t.boolean({ description: 'Reject incoming calls.' }),
    callRejectMessage: t.string({ description: 'Text sent on rejecting, at most 1,000 characters.' }),
    ignoreGroupMessages: t.boolean({ description: 'Drop group messages.' }),
    keepOnlineStatus: t.boolean({ description: 'Appear online.' }),
    autoReadMessages: t.boolean({ description: 'Mark messages as read.' }),
    disableHistorySync: t.boolean({ description: 'Do not ask for history.' }),
    ignoreStatus: t.boolean({ description: 'Drop status posts.' }),
  }),
})

const UpdateSettingsInput = builder.inputType('UpdateSettingsInput', {
  description: 'Input of updateSettings.',
  fields: (t) => ({
    instance: t.field({ type: InstanceRef, required: true, description: 'Which instance.' }),
    patch: t.field({ type: SettingsPatchInput, required: true, description: 'At least one field.' }),
  }),
})

const UpdateSettingsPayload = builder.objectRef<{ instance: InstanceRow }>('UpdateSettingsPayload').implement({
  description: 'Result of updateSettings.',
  fields: (t) => ({
    instance: t.expose('instance', { type: Instance, description: 'The instance.' }),
    settings: t.field({
      type: InstanceSettings,
      description: 'All seven, as stored.',
      resolve: ({ instance }, _args, { loaders }) => loaders.settings.load(instance.id),
    }),
  }),
})

builder.mutationField('updateSettings', (t) =>
  t.field({
    type: UpdateSettingsPayload,
    nullable: true,
    description: 'Change the settings that are given.',
    args: { input: t.arg({ type: UpdateSettingsInput, required: true }) },
    resolve: async (_root, { input }, context) => {
      const patch = validate(settingsRule, input.patch, 'input.patch')
      if (Object.keys(patch).length === 0) throw badUserInput('input.patch', 'input.patch has to name a setting')
      const { instance } = await configure(context, input, (transaction, id) => updateSettings(transaction, id, patch))
      await context.services.sessions.applySettings(instance)
      return { instance }
    },
  }),
)
