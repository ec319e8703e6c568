import { builder } from '../graphql/builder.ts'
import { enumValues } from '../graphql/enum-values.ts'
import { EVENT_NAMES, type EventName } from './events.ts'

export const EventType = builder.enumType('EventType', {
  description: 'The events an integration can carry.',
  values: enumValues<EventName>(
    Object.fromEntries(EVENT_NAMES.map((name) => [name, `\`${name}\``])) as Record<EventName, string>,
  ),
})
