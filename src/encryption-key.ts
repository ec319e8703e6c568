import { randomBytes } from 'node:crypto'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Config } from './config.ts'

const KEY_BYTES = 32

/**
 * The key that seals secrets at rest: the configured one or, beside the embedded database, one that is made at the
 * first start and kept in `dataDir`.
 * @throws when the kept key cannot be used
 */
export function loadEncryptionKey({ encryptionKey, dataDir }: Pick<Config, 'encryptionKey' | 'dataDir'>): Buffer {
  if (encryptionKey) return encryptionKey
  const path = join(dataDir, 'encryption.key')
  if (!existsSync(path))
    writeFileSync(path, `${randomBytes(KEY_BYTES).toString('base64')}\n`, { mode: 0o600, flag: 'wx' })
  const key = Buffer.from(readFileSync(path, 'utf8'), 'base64')
  if (key.length !== KEY_BYTES)
    throw new Error(
      `${path} does not hold ${KEY_BYTES} bytes in base64. Restore it from a backup: what it sealed cannot be read without it`,
    )
  return key
}
