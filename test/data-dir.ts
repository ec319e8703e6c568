import { cpSync, readFileSync, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'
import { runCli } from './child.ts'
import { createTempDir } from './testkit.ts'

/** An empty folder for one test, removed with it. */
export function createDataDirForTest(): string {
  const dataDir = createTempDir()
  onTestFinished(() => removeDataDir(dataDir))
  return dataDir
}

export const removeDataDir = (dataDir: string): void => rmSync(dataDir, { recursive: true, force: true })

/** A folder whose embedded database is migrated and empty. To make one takes seconds, so tests copy this one. */
export async function createDataDirTemplate(): Promise<string> {
  const template = createTempDir()
  const { code, stderr } = await runCli(['migrate'], { DATA_DIR: template })
  if (code !== 0) throw new Error(`The embedded database could not be made: ${stderr}`)
  return template
}

export function copyDataDir(template: string): string {
  const dataDir = createTempDir()
  cpSync(template, dataDir, { recursive: true })
  return dataDir
}

export function copyDataDirForTest(template: string): string {
  const dataDir = copyDataDir(template)
  onTestFinished(() => removeDataDir(dataDir))
  return dataDir
}

/** The permissions of a file in a data folder, e.g. `600`. */
export const modeOf = (dataDir: string, file = ''): string => (statSync(join(dataDir, file)).mode & 0o777).toString(8)

/** The process that holds a data folder. */
export const holderOf = (dataDir: string): number =>
  Number.parseInt(readFileSync(join(dataDir, 'gateway.lock'), 'utf8'))
