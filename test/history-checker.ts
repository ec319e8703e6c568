import type { SocketLife } from './fake-whatsapp/socket-log.ts'

/** A node is named as the cluster has named the process: `a1` is the first start of `a`. */
type NodeName = string

/** A session's owner was written: in the order in which the database did it. */
export type OwnerChange = { instanceId: string; owner: NodeName | null; epoch: number }

/** A write of a session that the database has accepted, the epoch that it named, and the owner that there was at that moment. */
export type SessionWrite = {
  instanceId: string
  what: 'creds' | 'keys' | 'facts'
  operation: 'INSERT' | 'UPDATE' | 'DELETE'
  writer: NodeName
  epoch: number | null
  owner: NodeName | null
  ownerEpoch: number | null
}

/** What one subscriber was told, in the order in which it was told. */
export type Observation = { observer: string; instanceId: string; state: string; sequence: number }

/** All that was recorded of a cluster; times are on the monotonic clock. */
export type History = {
  owners: readonly OwnerChange[]
  writes: readonly SessionWrite[]
  sockets: readonly SocketLife[]
  /** When a process was stopped, and could not have closed anything. */
  pauses: readonly { node: NodeName; from: number; until: number }[]
  observations: readonly Observation[]
  /** Instances that were really logged out, by their phone or by command. */
  loggedOut: ReadonlySet<string>
}

/** What everybody says when nothing happens any more. */
export type Rest = {
  /** The numbers that WhatsApp has sockets of, once for each socket. */
  live: readonly string[]
  instances: readonly {
    instanceId: string
    number: string
    /** The owner in the database, if it is registered. */
    owner: NodeName | null
    isWanted: boolean
    /** The last state that each subscriber was told, and what each node answers to a query. */
    told: Readonly<Record<string, string | undefined>>
  }[]
}

/** How long a socket may stay open beside a newer one of its device: as long as closing takes. */
export const OVERLAP_MS = 1_000

/** All that is wrong with a history, in words; nothing when it is as promised. */
export const wrongsIn = (history: History): string[] => [
  ...staleWrites(history),
  ...epochsThatDoNotRise(history),
  ...doubleSockets(history),
  ...sequencesThatFall(history),
  ...lostAuthState(history),
]

/** Only the owner writes for a session, and under the epoch by which it owns it. */
export const staleWrites = ({ writes }: Pick<History, 'writes'>): string[] =>
  writes
    .filter(({ writer, owner, epoch, ownerEpoch }) => writer !== owner || epoch === null || epoch !== ownerEpoch)
    .map(
      ({ instanceId, what, operation, writer, epoch, owner, ownerEpoch }) =>
        `${writer} could ${operation} ${what} of ${instanceId} under ${epoch ?? 'no epoch'}, which ${owner ?? 'nobody'} owned under ${ownerEpoch ?? 'none'}`,
    )

/** Each change of an owner has an epoch above all before. */
export function epochsThatDoNotRise({ owners }: Pick<History, 'owners'>): string[] {
  const last = new Map<string, number>()
  return owners.flatMap(({ instanceId, owner, epoch }) => {
    const before = last.get(instanceId) ?? Number.NEGATIVE_INFINITY
    last.set(instanceId, Math.max(before, epoch))
    return epoch > before ? [] : [`${instanceId} went to ${owner ?? 'nobody'} with epoch ${epoch} after ${before}`]
  })
}

/**
 * A device has one socket at a time, whoever holds it. While its process is stopped it cannot be closed, and nothing is
 * done with it.
 */
export function doubleSockets(
  { sockets, pauses }: Pick<History, 'sockets' | 'pauses'>,
  windowMs = OVERLAP_MS,
): string[] {
  const wrongs: string[] = []
  for (const lives of groupBy(sockets, ({ number }) => number).values()) {
    for (const [index, newer] of lives.entries()) {
      for (const older of lives.slice(0, index)) {
        const end = Math.min(older.closedAt ?? Number.POSITIVE_INFINITY, newer.closedAt ?? Number.POSITIVE_INFINITY)
        const isPausedAt = (time: number) =>
          pauses.some(({ node, from, until }) => node === older.node && from <= time && time <= until + windowMs)
        const paused = pauses
          .filter(({ node }) => node === older.node)
          .reduce((sum, { from, until }) => sum + overlap(from, until, newer.openedAt, end), 0)
        const together = Math.max(0, end - newer.openedAt) - paused
        const pair = `${older.number} had a socket of ${older.node} and one of ${newer.node}`
        if (together > windowMs) wrongs.push(`${pair} for ${Math.round(together)} ms`)
        // The server throws the older one out at once, so that a holder that did not let go is known by that alone.
        else if (end > newer.openedAt && older.node !== newer.node && !isPausedAt(newer.openedAt))
          wrongs.push(`${pair}: ${older.node} had not let go`)
      }
    }
  }
  return wrongs
}

/** No subscriber is told of a past after a present. */
export function sequencesThatFall({ observations }: Pick<History, 'observations'>): string[] {
  const last = new Map<string, Observation>()
  return observations.flatMap((observation) => {
    const { observer, instanceId, sequence, state } = observation
    const key = `${observer} ${instanceId}`
    const before = last.get(key)
    if (!before || sequence >= before.sequence) {
      last.set(key, observation)
      return []
    }
    const [now, then] = [describeSequence(sequence), describeSequence(before.sequence)]
    return [`${observer} was told ${state} of ${instanceId} at ${now} after ${before.state} at ${then}`]
  })
}

/** Credentials and keys are forgotten after a logout only. */
export const lostAuthState = ({ writes, loggedOut }: Pick<History, 'writes' | 'loggedOut'>): string[] =>
  writes
    .filter(
      ({ what, operation, instanceId }) => what === 'creds' && operation === 'DELETE' && !loggedOut.has(instanceId),
    )
    .map(({ writer, instanceId }) => `${writer} deleted the credentials of ${instanceId}, which was not logged out`)

/** Where subscribers, nodes, database and WhatsApp do not agree although nothing happens any more. */
export function disagreementsIn({ live, instances }: Rest): string[] {
  const counts = new Map([...groupBy(live, (number) => number)].map(([number, all]) => [number, all.length]))
  return instances.flatMap(({ instanceId, number, owner, isWanted, told }) => {
    const count = counts.get(number) ?? 0
    const wrongs: string[] = []
    if (count !== (isWanted ? 1 : 0)) wrongs.push(`WhatsApp has ${count} sockets of ${number} (${instanceId})`)
    if (isWanted && owner === null) wrongs.push(`nobody owns ${instanceId}`)
    for (const [who, state] of Object.entries(told)) {
      if ((state === 'CONNECTED') !== count > 0)
        wrongs.push(`${who} says ${state ?? 'nothing'} of ${instanceId}, which has ${count} sockets`)
    }
    return wrongs
  })
}

const describeSequence = (sequence: number): string => `(${Math.floor(sequence / 2 ** 32)}, ${sequence % 2 ** 32})`

const overlap = (from: number, until: number, start: number, end: number): number =>
  Math.max(0, Math.min(until, end) - Math.max(from, start))

function groupBy<Item>(items: readonly Item[], keyOf: (item: Item) => string): Map<string, Item[]> {
  const groups = new Map<string, Item[]>()
  for (const item of items) {
    const group = groups.get(keyOf(item))
    if (group) group.push(item)
    else groups.set(keyOf(item), [item])
  }
  return groups
}
