import { builder } from '../graphql/builder.ts'
import { enumValues } from '../graphql/enum-values.ts'
import { Instance } from '../instance/type.ts'
import type { Chatwoot } from './queries.ts'
import { configure, readConfigInput } from '../instance/configure.ts'
import { InstanceRef } from '../instance/ref.ts'
import type { Instance as InstanceRow } from '../instance/queries.ts'
import { setChatwoot } from './actions.ts'

const ChatwootStatus = builder.enumType('ChatwootStatus', {
  description: 'State of a Chatwoot bridge.',
  values: enumValues<NonNullable<Chatwoot['status']>>({
    active: 'Working.',
    paused: 'Held.',
    error: 'Failing: see lastError.',
  }),
})

const ChatwootIntegration = builder.objectRef<Chatwoot>('ChatwootIntegration').implement({
  description: 'The Chatwoot bridge of an instance.',
  fields: (t) => ({
    enabled: t.exposeBoolean('enabled', { description: 'false: none, or the server has no bridge.' }),
    status: t.expose('status', { type: ChatwootStatus, nullable: true, description: 'Null when off.' }),
    lastError: t.exposeString('lastError', {
      nullable: true,
      description: 'What went wrong, for a person; null unless status is ERROR.',
    }),
    bridgeIntegrationId: t.exposeString('bridgeIntegrationId', {
      nullable: true,
      description: "The bridge's own id.",
    }),
    baseUrl: t.exposeString('baseUrl', { nullable: true, description: "Chatwoot's address." }),
    accountId: t.exposeInt('accountId', { nullable: true, description: "Chatwoot's account number." }),
    inboxName: t.exposeString('inboxName', { nullable: true, description: 'Chatwoot inbox.' }),
    hasApiToken: t.exposeBoolean('hasApiToken', {
      description: 'Whether an API token is stored; it is never shown.',
    }),
  }),
})

builder.objectField(Instance, 'chatwoot', (t) =>
  t.field({
    type: ChatwootIntegration,
    nullable: true,
    description: 'The Chatwoot bridge; null only beside an error.',
    resolve: ({ id }, _args, { loaders }) => loaders.chatwoot.load(id),
  }),
)

export const ChatwootConfigInput = builder.inputType('ChatwootConfig', {
  description: 'A Chatwoot bridge to store. With enabled: false the rest is cleared.',
  fields: (t) => ({
    enabled: t.boolean({ required: true, defaultValue: true, description: 'Switch.' }),
    baseUrl: t.string({
      description: "Chatwoot's address, a public one; a trailing slash is dropped. Needed when enabled.",
    }),
    accountId: t.int({ description: "Chatwoot's account number. Needed when enabled." }),
    apiToken: t.string({
      description: "Chatwoot's API token. Left out: keep; null: clear; a new baseUrl without it clears it.",
    }),
    inboxName: t.string({ description: 'Inbox to use or make. Needed when enabled.' }),
    signMessages: t.boolean({
      required: true,
      defaultValue: false,
      description: "Sign messages with the agent's name.",
    }),
    ignoreGroups: t.boolean({ required: true, defaultValue: false, description: 'Leave groups out.' }),
    startAsPending: t.boolean({
      required: true,
      defaultValue: false,
      description: 'New conversations start as pending.',
    }),
    reopenResolved: t.boolean({ required: true, defaultValue: false, description: 'Reopen resolved conversations.' }),
  }),
})

const SetChatwootInput = builder.inputType('SetChatwootInput', {
  description: 'Input of setChatwoot.',
  fields: (t) => ({
    instance: t.field({ type: InstanceRef, required: true, description: 'Which instance.' }),
    config: t.field({ type: ChatwootConfigInput, required: true, description: 'What to store.' }),
  }),
})

const SetChatwootPayload = builder.objectRef<{ instance: InstanceRow }>('SetChatwootPayload').implement({
  description: 'Result of setChatwoot.',
  fields: (t) => ({
    instance: t.expose('instance', { type: Instance, description: 'The instance.' }),
    chatwoot: t.field({
      type: ChatwootIntegration,
      description: 'As stored; a bridge that failed has status ERROR.',
      resolve: ({ instance }, _args, { loaders }) => loaders.chatwoot.load(instance.id),
    }),
  }),
})

builder.mutationField('setChatwoot', (t) =>
  t.field({
    type: SetChatwootPayload,
    nullable: true,
    description: 'Replace the Chatwoot bridge.',
    args: { input: t.arg({ type: SetChatwootInput, required: true }) },
    resolve: async (_root, { input }, context) => {
      const { rules, sealer } = context.services
      const config = readConfigInput(rules.chatwoot, input)
      const { instance } = await configure(context, input, (transaction, id) =>
        setChatwoot(transaction, sealer, id, config),
      )
      return { instance }
    },
  }),
)
