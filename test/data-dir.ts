import { cpSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { onTestFinished } from 'vitest'
import { runCli } from './child.ts'
import { createTempDir } from './testkit.ts'

/** An empty folder for one test, removed with it. */
export function createDataDirForTest(): string {
  const dataDir = createTempDir()
  onTestFinished(() => removeDataDir(dataDir))
  return dataDir
}

/** Where there can be no data folder, and why; a relative path is one beside a file of that name. */
export const UNUSABLE_PLACES: [string, RegExp][] = [
  ['file', /it is a file, or lies in one/],
  ['file/data/one', /it is a file, or lies in one/],
  ['/proc', /nothing can be written there|this user may not write there/],
  ['/proc/switchboard/data', /nothing can be written there|this user may not write there/],
]

/** Such a place, for one test. */
export function createUnusablePlaceForTest(place: string): string {
  const folder = createDataDirForTest()
  writeFileSync(join(folder, 'file'), '')
  return resolve(folder, place)
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
