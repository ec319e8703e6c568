/** The six events that an integration can carry, by their documented names. */
export const EVENT_NAMES = [
  'message.exchange',
  'message.status',
  'call.update',
  'group.flow',
  'instance.state',
  'label.update',
] as const

export type EventName = (typeof EVENT_NAMES)[number]

/** The events in effect: none chosen means all. */
export const eventsInEffect = (chosen: readonly EventName[]): readonly EventName[] =>
  chosen.length > 0 ? chosen : EVENT_NAMES
