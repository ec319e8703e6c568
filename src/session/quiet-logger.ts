import type { WASocket } from '@whiskeysockets/baileys'

type BaileysLogger = WASocket['logger']

const nothing = () => undefined

/** Baileys' own log tells numbers and key material: none of it is kept, and what matters is told by the session. */
export const quietLogger: BaileysLogger = {
  level: 'silent',
  child: () => quietLogger,
  trace: nothing,
  debug: nothing,
  info: nothing,
  warn: nothing,
  error: nothing,
}
