import type * as Baileys from '@whiskeysockets/baileys'
import { cureAsyncStorage } from './async-storage-cure.ts'
import { quietLibsignal } from './quiet-libsignal.ts'

/** Baileys takes half a second to load: only a process that opens a session pays for it. */
export function loadBaileys(): Promise<typeof Baileys> {
  cureAsyncStorage()
  quietLibsignal()
  return import('@whiskeysockets/baileys')
}
