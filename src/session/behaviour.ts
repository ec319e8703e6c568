import type { Settings } from '../integration/queries.ts'

/** Kinds of history that bring the names and the two kinds of ids that later messages are understood by. */
const NEEDED_HISTORY = new Set([0 /* INITIAL_BOOTSTRAP */, 4 /* PUSH_NAME */])

/** How a session behaves, by the instance's settings; they may be changed while it runs. */
export class Behaviour {
  settings: Settings

  constructor(settings: Settings) {
    this.settings = settings
  }

  get keepOnline(): boolean {
    return this.settings.keepOnlineStatus
  }

  /** Asked of the phone when the device is paired. */
  get wantsHistory(): boolean {
    return !this.settings.disableHistorySync
  }

  takesHistory(syncType: number | null | undefined): boolean {
    return this.wantsHistory || NEEDED_HISTORY.has(syncType ?? -1)
  }

  /** Whether messages of a chat are dropped before they are decrypted. */
  ignores(jid: string): boolean {
    if (jid === 'status@broadcast') return this.settings.ignoreStatus
    return jid.endsWith('@g.us') && this.settings.ignoreGroupMessages
  }
}
