import { readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { lockDataDir } from '../src/db/data-dir-lock.ts'
import { createTempDir } from './testkit.ts'

/** A folder that a process of another container has locked, long ago. */
function lockedElsewhere() {
  const folder = createTempDir()
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
  const lock = join(folder, 'gateway.lock')
  writeFileSync(lock, '1 12345 another-container pid:[1]')
  utimesSync(lock, new Date(0), new Date(0))
  return folder
}

test('a folder whose gateway in another container answers is in use, whatever its process id means here', async () => {
  const folder = lockedElsewhere()
  const gateway = createServer().listen(join(folder, 'operator.sock'))
  onTestFinished(() => void gateway.close())
  await expect(lockDataDir(folder)).rejects.toThrow(/in use by process 1\./)
})

test('a folder whose gateway in another container is gone is taken over', async () => {
  const folder = lockedElsewhere()
  const unlock = await lockDataDir(folder)
  expect(readFileSync(join(folder, 'gateway.lock'), 'utf8')).toMatch(new RegExp(`^${process.pid} `))
  unlock()
})

test('a lock is given to one of many that ask at once', async () => {
  const folder = lockedElsewhere()
  const settled = await Promise.allSettled(Array.from({ length: 20 }, () => lockDataDir(folder)))
  expect(settled.filter(({ status }) => status === 'fulfilled')).toHaveLength(1)
})
