import { vi } from 'vitest'

/** vi.waitFor gives up after a second, which a busy machine may take for one answer. */
const PATIENCE_MS = 20_000

const { waitFor } = vi
vi.waitFor = (callback, options) =>
  waitFor(callback, typeof options === 'number' ? options : { timeout: PATIENCE_MS, ...options })
