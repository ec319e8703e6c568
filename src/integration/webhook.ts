import { builder } from '../graphql/builder.ts'
import { Instance } from '../instance/type.ts'
import { EventType } from './event-type.ts'
import { eventsInEffect } from './events.ts'
import { DEFAULT_WEBHOOK_LABEL, defaultWebhookOf, type ShownWebhook, webhookOff } from './queries.ts'
import { configure, readConfigInput } from '../instance/configure.ts'
import { InstanceRef } from '../instance/ref.ts'
import type { Instance as InstanceRow } from '../instance/queries.ts'
import { validate } from '../validate.ts'
import { deleteWebhook, setWebhook } from './actions.ts'
import { labelRule } from './config.ts'

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
    resolve: async ({ id }, _args, { loaders }) => defaultWebhookOf(await loaders.webhooks.load(id)),
  }),
  webhooks: t.field({
    type: [Webhook],
    nullable: true,
    description: 'All webhooks by label, disabled ones included; null only beside an error.',
    resolve: ({ id }, _args, { loaders }) => loaders.webhooks.load(id),
  }),
}))

export const WebhookConfigInput = builder.inputType('WebhookConfig', {
  description: 'A webhook to store. With enabled: false the rest is cleared.',
  fields: (t) => ({
    enabled: t.boolean({ required: true, defaultValue: true, description: 'Switch.' }),
    url: t.string({
      description: 'https (or http where the operator allows it), no user info, a public address. Needed when enabled.',
    }),
    authorization: t.string({
      description: 'Value of the Authorization header. Left out: keep; null: clear; a new url without it clears it.',
    }),
    byEvents: t.boolean({ required: true, defaultValue: false, description: 'Append the event name to the path.' }),
    events: t.field({
      type: [EventType],
      description: 'Left out or null: all six. An empty list is BAD_USER_INPUT.',
    }),
    mediaBase64: t.boolean({ required: true, defaultValue: false, description: 'Put media inside the event.' }),
  }),
})

const SetWebhookInput = builder.inputType('SetWebhookInput', {
  description: 'Input of setWebhook.',
  fields: (t) => ({
    instance: t.field({ type: InstanceRef, required: true, description: 'Which instance.' }),
    label: t.string({ required: true, defaultValue: DEFAULT_WEBHOOK_LABEL, description: 'Which webhook.' }),
    config: t.field({ type: WebhookConfigInput, required: true, description: 'What to store.' }),
  }),
})

const SetWebhookPayload = builder.objectRef<{ instance: InstanceRow; label: string }>('SetWebhookPayload').implement({
  description: 'Result of setWebhook.',
  fields: (t) => ({
    instance: t.expose('instance', { type: Instance, description: 'The instance.' }),
    webhook: t.field({
      type: Webhook,
      description: 'As stored.',
      resolve: async ({ instance, label }, _args, { loaders }) =>
        (await loaders.webhooks.load(instance.id)).find((webhook) => webhook.label === label) ?? webhookOff(label),
    }),
  }),
})

builder.mutationField('setWebhook', (t) =>
  t.field({
    type: SetWebhookPayload,
    nullable: true,
    description: 'Create or replace the webhook of a label. At most 3 enabled ones: QUOTA_EXCEEDED.',
    args: { input: t.arg({ type: SetWebhookInput, required: true }) },
    resolve: async (_root, { input }, context) => {
      const { rules, sealer } = context.services
      const label = validate(labelRule, input.label, 'input.label')
      const config = readConfigInput(rules.webhook, input)
      const { instance } = await configure(context, input, (transaction, id) =>
        setWebhook(transaction, sealer, id, label, config),
      )
      return { instance, label }
    },
  }),
)

const DeleteWebhookInput = builder.inputType('DeleteWebhookInput', {
  description: 'Input of deleteWebhook.',
  fields: (t) => ({
    instance: t.field({ type: InstanceRef, required: true, description: 'Which instance.' }),
    label: t.string({ required: true, description: 'Which webhook.' }),
  }),
})

const DeleteWebhookPayload = builder
  .objectRef<{ instance: InstanceRow; deletedLabel: string | null }>('DeleteWebhookPayload')
  .implement({
    description: 'Result of deleteWebhook.',
    fields: (t) => ({
      instance: t.expose('instance', { type: Instance, description: 'The instance.' }),
      deletedLabel: t.exposeString('deletedLabel', {
        nullable: true,
        description: 'The label; null if there was none.',
      }),
    }),
  })

builder.mutationField('deleteWebhook', (t) =>
  t.field({
    type: DeleteWebhookPayload,
    nullable: true,
    description: 'Remove the webhook of a label.',
    args: { input: t.arg({ type: DeleteWebhookInput, required: true }) },
    resolve: async (_root, { input }, context) => {
      const label = validate(labelRule, input.label, 'input.label')
      const { instance, result: wasThere } = await configure(
        context,
        input,
        (transaction, id) => deleteWebhook(transaction, id, label),
        (wasDeleted) => wasDeleted,
      )
      return { instance, deletedLabel: wasThere ? label : null }
    },
  }),
)
