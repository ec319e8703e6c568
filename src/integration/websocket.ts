import { builder } from '../graphql/builder.ts'
import { Instance } from '../instance/type.ts'
import { EventType } from './event-type.ts'
import { eventsInEffect } from './events.ts'
import type { Websocket } from './queries.ts'
import { configure, readConfigInput } from '../instance/configure.ts'
import { InstanceRef } from '../instance/ref.ts'
import type { Instance as InstanceRow } from '../instance/queries.ts'
import { setWebsocket } from './actions.ts'

const WebsocketIntegration = builder.objectRef<Websocket>('WebsocketIntegration').implement({
  description: "Delivery of events on the instance's own WebSocket.",
  fields: (t) => ({
    enabled: t.exposeBoolean('enabled', { description: 'false: new sockets are refused.' }),
    events: t.field({
      type: [EventType],
      description: 'The events in effect; [] when off.',
      resolve: ({ enabled, events }) => (enabled ? eventsInEffect(events) : []),
    }),
    mediaBase64: t.exposeBoolean('mediaBase64', { description: 'Whether media travels inside the event.' }),
  }),
})

builder.objectField(Instance, 'websocket', (t) =>
  t.field({
    type: WebsocketIntegration,
    nullable: true,
    description: 'The event WebSocket; null only beside an error.',
    resolve: ({ id }, _args, { loaders }) => loaders.websocket.load(id),
  }),
)

export const WebsocketConfigInput = builder.inputType('WebsocketConfig', {
  description: 'An event WebSocket to store. With enabled: false the rest is cleared.',
  fields: (t) => ({
    enabled: t.boolean({ required: true, defaultValue: true, description: 'Switch.' }),
    events: t.field({
      type: [EventType],
      description: 'Left out or null: all six. An empty list is BAD_USER_INPUT.',
    }),
    mediaBase64: t.boolean({ required: true, defaultValue: false, description: 'Put media inside the event.' }),
  }),
})

const SetWebsocketInput = builder.inputType('SetWebsocketInput', {
  description: 'Input of setWebsocket.',
  fields: (t) => ({
    instance: t.field({ type: InstanceRef, required: true, description: 'Which instance.' }),
    config: t.field({ type: WebsocketConfigInput, required: true, description: 'What to store.' }),
  }),
})

const SetWebsocketPayload = builder.objectRef<{ instance: InstanceRow }>('SetWebsocketPayload').implement({
  description: 'Result of setWebsocket.',
  fields: (t) => ({
    instance: t.expose('instance', { type: Instance, description: 'The instance.' }),
    websocket: t.field({
      type: WebsocketIntegration,
      description: 'As stored.',
      resolve: ({ instance }, _args, { loaders }) => loaders.websocket.load(instance.id),
    }),
  }),
})

builder.mutationField('setWebsocket', (t) =>
  t.field({
    type: SetWebsocketPayload,
    nullable: true,
    description: "Replace the event WebSocket's configuration.",
    args: { input: t.arg({ type: SetWebsocketInput, required: true }) },
    resolve: async (_root, { input }, context) => {
      const { rules } = context.services
      const config = readConfigInput(rules.websocket, input)
      const { instance } = await configure(context, input, (transaction, id) => setWebsocket(transaction, id, config))
      return { instance }
    },
  }),
)
