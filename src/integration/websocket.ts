import { builder } from '../graphql/builder.ts'
import { Instance } from '../instance/type.ts'
import { EventType } from './event-type.ts'
import { eventsInEffect } from './events.ts'
import type { Websocket } from './queries.ts'

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
