import { builder } from '../graphql/builder.ts'
import { enumValues } from '../graphql/enum-values.ts'
import { Instance } from '../instance/type.ts'
import type { Chatwoot } from './queries.ts'

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
