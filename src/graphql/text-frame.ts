import type { Bytes } from '../http/bytes.ts'

/** FIN and the opcode of a text, RFC 6455, 5.2. */
const TEXT = 0x81
const MAX_SHORT = 125
const MAX_MEDIUM = 0xffff

/** A whole message as one frame of a server, which is not masked. */
export const textFrame = (payload: Bytes): Bytes => (headOf(payload.length) + payload) as Bytes

function headOf(length: number): string {
  if (length <= MAX_SHORT) return String.fromCharCode(TEXT, length)
  if (length <= MAX_MEDIUM) return String.fromCharCode(TEXT, 126, length >> 8, length & 0xff)
  const bytes = Buffer.alloc(10)
  bytes.set([TEXT, 127])
  bytes.writeBigUInt64BE(BigInt(length), 2)
  return bytes.toString('latin1')
}
