import { existsSync, mkdirSync } from 'node:fs'
import { dirname } from 'node:path'

const REASONS = new Map([
  ['ENOTDIR', 'it is a file, or lies in one'],
  ['EACCES', 'this user may not write there'],
  ['EPERM', 'this user may not write there'],
  ['EROFS', 'nothing can be written there'],
  ['ENOENT', 'nothing can be written there'],
  ['ENOSPC', 'no space is left there'],
])

/** The data folder cannot be made, or nothing can be written in it. */
export class DataDirUnusable extends Error {
  constructor(dataDir: string, cause: unknown) {
    const { code = '', message } = cause as NodeJS.ErrnoException
    const reason = REASONS.get(code) ?? message
    super(`DATA_DIR ${dataDir} cannot be used: ${reason}. Set DATA_DIR to a folder in which this user may write`, {
      cause,
    })
    this.name = 'DataDirUnusable'
  }
}

/** Makes a data folder, and what it lies in, where it is missing. */
export function makeDataDir(dataDir: string): void {
  if (existsSync(dataDir)) return
  // One by one: Node's recursive mkdir goes on for ever where the system refuses every folder, as below /proc.
  makeDataDir(dirname(dataDir))
  try {
    mkdirSync(dataDir, { mode: 0o700 })
  } catch (error) {
    // Another process has made it meanwhile.
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
  }
}
