import { builder } from '../graphql/builder.ts'
import { Instance } from '../instance/type.ts'
import { EventType } from './event-type.ts'
import { eventsInEffect } from './events.ts'
import { DEFAULT_WEBHOOK_LABEL, type ShownWebhook, webhookOff } from './queries.ts'

const Webhook = builder.objectRef<ShownWebhook>('Webhook').implement({
  description: 'Delivery of events by HTTP POST.',
  fields: (t) => ({
    label: t.exposeString('label', { description: 'Unique in the instance.' }),
    enabled: t.exposeBoolean('enabled', { description: 'false: none, or switched off.' }),
    url: t.exposeString('url', { nullable: true, description: 'Target; null when off.' }),
    hasAuthorization: t.exposeBoolean('hasAuthorization', {
      description: 'Whether an Authorization value is stored; it is never shown.',
    }),
    byEvents: t.exposeBoolean('byEvents', { description: 'Whether the event name is appended to the path.' }),
    events: t.field({
      type: [EventType],
      description: 'The events in effect, in the order written; all six when none was chosen; [] when off.',
      resolve: ({ enabled, events }) => (enabled ? eventsInEffect(events) : []),
    }),
    mediaBase64: t.exposeBoolean('mediaBase64', { description: 'Whether media travels inside the event.' }),
  }),
})

builder.objectFields(Instance, (t) => ({
  webhook: t.field({
    type: Webhook,
    nullable: true,
    description: 'The webhook labelled `default`, enabled: false when there is none; null only beside an error.',
    resolve: async ({ id }, _args, { loaders }) => {
      const webhooks = await loaders.webhooks.load(id)
      return webhooks.find(({ label }) => label === DEFAULT_WEBHOOK_LABEL) ?? webhookOff(DEFAULT_WEBHOOK_LABEL)
    },
  }),
  webhooks: t.field({
    type: [Webhook],
    nullable: true,
    description: 'All webhooks by label, disabled ones included; null only beside an error.',
    resolve: ({ id }, _args, { loaders }) => loaders.webhooks.load(id),
  }),
}))
