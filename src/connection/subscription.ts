import { unauthenticated } from '../errors.ts'
import { builder } from '../graphql/builder.ts'
import type { Context } from '../graphql/context.ts'
import { enumValues } from '../graphql/enum-values.ts'
import { filterOfNames } from '../instance/names.ts'
import type { Instance as InstanceRow } from '../instance/queries.ts'
import { Instance } from '../instance/type.ts'
import { Pull } from '../pull.ts'
import { type ConnectionEvent, ConnectionFeed } from './feed.ts'
import { ConnectionStatusType } from './type.ts'

/** How long the rows that a snapshot was made of are fresh enough to be shown with its events. */
const FRESH_MS = 1_000

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

/** The account whose ticks the viewer listens to. */
async function accountOf({ viewer, loaders }: Context): Promise<string> {
  if (viewer.kind === 'account') return viewer.accountId
  const instance = await loaders.instanceById.load(viewer.instanceId)
  // It was deleted after the look at its token.
  if (!instance) throw unauthenticated()
  return instance.accountId
}

async function watchConnections(
  context: Context,
  names: Parameters<typeof filterOfNames>[1],
): Promise<Pull<ConnectionEvent>> {
  const { viewer, services, loaders } = context
  const filter = filterOfNames(viewer, names)
  const wanted = filter === 'all' ? null : new Set(filter)
  const accountId = await accountOf(context)
  const covers = ({ id, accountId: owner, name }: InstanceRow) =>
    viewer.kind === 'account' ? owner === viewer.accountId && (wanted?.has(name) ?? true) : id === viewer.instanceId

  const feed = new ConnectionFeed(covers, (instance) => services.sessions.statusOf(instance))
  let readAt = 0
  const take = () => {
    const event = feed.take()
    if (!event) return null
    // One context serves the whole stream: what was loaded for the event before is stale.
    loaders.forget()
    if (event.kind === 'snapshot' && performance.now() - readAt < FRESH_MS) {
      loaders.instanceById.prime(event.instance.id, event.instance)
    }
    return event
  }
  // Listened to before the rows are read, so that nothing between is lost.
  const stop = services.connectionTicks.subscribe(accountId, (tick) => {
    feed.note(tick)
    events.wake()
  })
  const events = new Pull(take, stop)
  try {
    loaders.forget()
    feed.begin(await loaders.instances.load(filter))
    readAt = performance.now()
    return events
  } catch (error) {
    stop()
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
