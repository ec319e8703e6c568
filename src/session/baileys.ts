import { cureAsyncStorage } from './async-storage-cure.ts'

/** Baileys takes half a second to load: only a process that opens a session pays for it. */
export function loadBaileys(): Promise<typeof import('@whiskeysockets/baileys')> {
  cureAsyncStorage()
  return import('@whiskeysockets/baileys')
}
