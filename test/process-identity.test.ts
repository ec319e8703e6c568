import { spawnSync } from 'node:child_process'
import type * as FileSystem from 'node:fs'
import { existsSync } from 'node:fs'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { identifyAmongMachines, identifyProcess, isCertainlyGone, isProcessAlive } from '../src/process-identity.ts'

const hidden = vi.hoisted(() => new Set<string>())
vi.mock('node:fs', async (importOriginal) => {
  const fs = await importOriginal<typeof FileSystem>()
  const readFileSync = (...parameters: Parameters<typeof fs.readFileSync>) => {
    if (hidden.has(String(parameters[0]))) throw Object.assign(new Error('hidden'), { code: 'ENOENT' })
    return fs.readFileSync(...parameters)
  }
  return { ...fs, readFileSync }
})
afterEach(() => hidden.clear())

const ended = () => spawnSync(process.execPath, ['--version']).pid

describe.skipIf(!existsSync('/proc/self/stat'))('a process', () => {
  const self = identifyProcess(process.pid)

  test('is known by its id and the moment of its start', () => {
    expect(isProcessAlive(self)).toBe(true)
    const [pid, startTime, ...place] = self.split(' ')
    expect(isProcessAlive([pid, Number(startTime) - 1, ...place].join(' '))).toBe(false)
    expect(isProcessAlive([ended(), startTime, ...place].join(' '))).toBe(false)
  })

  test('that is there and hidden from this one is not taken for gone', () => {
    hidden.add(`/proc/${process.pid}/stat`)
    expect(isProcessAlive(self)).toBe(true)
  })

  test('is certainly gone only where its id means the same as here', () => {
    const mine = identifyAmongMachines() ?? ''
    const gone = mine.replace(/^\d+/, String(ended()))
    expect([mine, gone, `${gone}0`, null].map(isCertainlyGone)).toEqual([false, true, false, false])
  })
})
