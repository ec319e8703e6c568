const FIRST_MS = 1_000
const LONGEST_MS = 5 * 60_000
/** Where another node may be about to take the session. */
const REPLACED_MS = 1_000
/** Where a short pause is no use. */
const LONG_MS = 60_000

/**
 * How long to wait before the next try, in milliseconds: full jitter below a ceiling that doubles from 1 s to 5 min, so
 * that sessions which failed together do not come back together.
 * @param failures failed tries before this one
 */
export function pauseBefore(failures: number, pause: 'short' | 'long', random: () => number = Math.random): number {
  const ceiling = Math.min(LONGEST_MS, FIRST_MS * 2 ** Math.min(failures, 20))
  return Math.round(pause === 'long' ? LONG_MS + random() * Math.max(LONG_MS, ceiling) : random() * ceiling)
}

/** How long an owner whose link was replaced waits before it opens the one more: the other may have been on its way out. */
export const pauseAfterReplaced = (random: () => number = Math.random): number =>
  Math.round(REPLACED_MS * (1 + 2 * random()))
