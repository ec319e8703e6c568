/** The channel of the triggers that the migrations made. */
export const CHANGES_CHANNEL = 'switchboard_changes'

/** What a committed write has touched. */
export type Change =
  | { kind: 'instance'; accountId: string; instanceId: string }
  | { kind: 'account'; accountId: string }
  | { kind: 'token'; tokenId: string }
  /** Or what was missed while nobody listened. */
  | { kind: 'everything' }

/** What is not understood, such as the notice of a newer version's trigger, may have touched anything. */
export function parseChange(notice: string): Change {
  const [kind, first, second] = notice.split(' ')
  if (kind === 'instance' && first && second) return { kind, accountId: first, instanceId: second }
  if (kind === 'account' && first) return { kind, accountId: first }
  if (kind === 'token' && first) return { kind, tokenId: first }
  return { kind: 'everything' }
}

/** Tells what was committed, by this node, by another one or by hand. */
export type ChangeFeed = {
  /** Whether all that was committed up to a moment ago has been told: otherwise only the database knows. */
  isCurrent(): boolean
  /** The same, after a look at the feed when this process was too busy to hear of it. */
  confirm(): Promise<boolean>
  /** Calls the listener with each change from now on, synchronously; returns the function that ends it. */
  listen(listener: (change: Change) => void): () => void
  /** Resolves when all that was committed before the call has been told, or the feed is not current. */
  catchUp(): Promise<void>
  close(): Promise<void>
}
