import { unauthenticated } from '../errors.ts'
import { builder } from '../graphql/builder.ts'
import type { Context } from '../graphql/context.ts'
import { enumValues } from '../graphql/enum-values.ts'
import { filterOfNames } from '../instance/names.ts'
import { Instance } from '../instance/type.ts'
import type { ConnectionEvent } from './log.ts'
import type { ConnectionReader } from './reader.ts'
import { ConnectionStatusType } from './type.ts'

const ConnectionEventKindEnum = builder.enumType('ConnectionEventKind', {
  description: 'The kinds of connection event.',
  values: enumValues<ConnectionEvent['kind']>({
    snapshot: 'Present state, sent on opening.',
    added: 'The instance was created, or came into view.',
    changed: 'The connection changed.',
    removed: "The instance was deleted or left the token's view: its last event.",
  }),
})

const ConnectionEventType = builder.objectRef<ConnectionEvent>('ConnectionEvent').implement({
  description: 'One step of the connection stream.',
  fields: (t) => ({
    kind: t.expose('kind', { type: ConnectionEventKindEnum, description: 'What happened.' }),
    instanceId: t.id({ description: 'Whose; the key to merge by.', resolve: ({ instance }) => instance.id }),
    instanceName: t.string({
      description: 'Its name, also when it is gone.',
      resolve: ({ instance }) => instance.name,
    }),
    connection: t.expose('connection', {
      type: ConnectionStatusType,
      description: 'The state now; for REMOVED the last one, DISCONNECTED with a reason.',
    }),
    instance: t.field({
      type: Instance,
      nullable: true,
      description: 'The instance as it is now; null for REMOVED, or beside an error.',
      resolve: async ({ kind, instance }, _args, { loaders }) =>
        // One that was deleted a moment ago is shown as it was: the event that says so follows.
        kind === 'removed' ? null : ((await loaders.instanceById.load(instance.id)) ?? instance),
    }),
    snapshotRemaining: t.exposeInt('snapshotRemaining', {
      description: 'Snapshot events still to come: 0 means this reader has caught up.',
    }),
  }),
})

async function watchConnections(
  { viewer, services, loaders }: Context,
  names: Parameters<typeof filterOfNames>[1],
): Promise<ConnectionReader> {
  const filter = filterOfNames(viewer, names)
  // Listened to before the rows are read, so that nothing between is lost.
  const reader = services.connectionLogs.read(viewer, filter)
  try {
    const rows = await loaders.instances.load(filter)
    // It was deleted after the look at its token.
    if (viewer.kind === 'instance' && rows.length === 0) throw unauthenticated()
    // A context may live as long as its stream, and need not keep them.
    loaders.forget()
    reader.begin(rows)
    return reader
  } catch (error) {
    reader.close()
    throw error
  }
}

builder.subscriptionField('connectionChanged', (t) =>
  t.field({
    type: ConnectionEventType,
    description:
      'First the present state of every instance covered, then each change, per instance in order of sequence. Names select as in instances(names:), looked at again on every event, so later instances join. A slow reader loses intermediate states, never the last.',
    args: { names: t.arg.stringList({ required: { list: false, items: false } }) },
    subscribe: (_root, { names }, context) => watchConnections(context, names),
    resolve: (event) => event,
  }),
)
