import { createCipheriv, createDecipheriv, hkdfSync, pbkdf2 } from 'node:crypto'
import { promisify } from 'node:util'

const TAG_LENGTH = 16

/** AES-256-GCM with the tag behind the text. */
export function seal(key: Buffer, iv: Buffer, text: Uint8Array, context: Uint8Array = Buffer.alloc(0)): Buffer {
  const cipher = createCipheriv('aes-256-gcm', key, iv).setAAD(context)
  return Buffer.concat([cipher.update(text), cipher.final(), cipher.getAuthTag()])
}

/** Throws when the key, the context or the text is another than was sealed. */
export function unseal(key: Buffer, iv: Buffer, sealed: Buffer, context: Uint8Array = Buffer.alloc(0)): Buffer {
  const decipher = createDecipheriv('aes-256-gcm', key, iv).setAAD(context).setAuthTag(sealed.subarray(-TAG_LENGTH))
  return Buffer.concat([decipher.update(sealed.subarray(0, -TAG_LENGTH)), decipher.final()])
}

/** AES-256-CTR, which is its own inverse. */
export function mask(key: Buffer, iv: Buffer, text: Uint8Array): Buffer {
  const cipher = createCipheriv('aes-256-ctr', key, iv)
  return Buffer.concat([cipher.update(text), cipher.final()])
}

export const derive = (secret: Buffer, length: number, salt: Buffer, purpose = ''): Buffer =>
  Buffer.from(hkdfSync('sha256', secret, salt, purpose, length))

const stretch = promisify(pbkdf2)

/** The key of a pairing code of eight characters: slow on purpose. */
export const deriveFromCode = (code: string, salt: Buffer): Promise<Buffer> =>
  stretch(code, salt, 1 << 17, 32, 'sha256')
