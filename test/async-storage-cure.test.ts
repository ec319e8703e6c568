import { AsyncLocalStorage } from 'node:async_hooks'
import { execFile } from 'node:child_process'
import { setTimeout } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import type * as Baileys from '@whiskeysockets/baileys'
import type { SignalDataSet } from '@whiskeysockets/baileys'
import { build } from 'esbuild'
import { beforeAll, describe, expect, test } from 'vitest'
import { cureAsyncStorage } from '../src/session/async-storage-cure.ts'
import { silentLogger } from './silent-logger.ts'

const root = fileURLToPath(new URL('..', import.meta.url))
/** From here on Node keeps an async context without making every await pay for it. */
const isCuredByNode = Number(process.versions.node.split('.')[0]) >= 24

describe.skipIf(isCuredByNode)('1,000 key stores that were used and dropped', () => {
  let program = ''
  beforeAll(async () => {
    const { outputFiles } = await build({
      entryPoints: [fileURLToPath(new URL('await-cost.ts', import.meta.url))],
      bundle: true,
      format: 'esm',
      platform: 'node',
      packages: 'external',
      write: false,
    })
    program = outputFiles[0]?.text ?? ''
  })

  const growth = async (...args: string[]) => {
    const { stdout } = await promisify(execFile)(
      process.execPath,
      ['--input-type=module', '--eval', program, '--', ...args],
      { cwd: root },
    )
    const { before, after, transactions } = JSON.parse(stdout) as Record<'before' | 'after' | 'transactions', number>
    expect(transactions).toBe(1_000)
    return after / before
  }

  test('make every await of the process slower', async () => {
    expect(await growth()).toBeGreaterThan(20)
  })

  test('cost nothing with the cure', async () => {
    expect(await growth('--cured')).toBeLessThan(5)
  })
})

describe('with the cure', () => {
  let addTransactionCapability: typeof Baileys.addTransactionCapability
  beforeAll(async () => {
    cureAsyncStorage()
    ;({ addTransactionCapability } = await import('@whiskeysockets/baileys'))
  })

  /** A key store in memory, with what was committed to it. */
  function createStore() {
    const commits: SignalDataSet[] = []
    const keys = addTransactionCapability(
      { get: () => ({}), set: (data) => void commits.push(structuredClone(data)) },
      silentLogger,
      { maxCommitRetries: 1, delayBetweenTriesMs: 1 },
    )
    const write = (id: string) => keys.set({ 'lid-mapping': { [id]: id } })
    return { keys, commits, write, ids: () => commits.map((commit) => Object.keys(commit['lid-mapping'] ?? {})) }
  }

  test('a transaction commits what it has written at once, at its end', async () => {
    const { keys, write, commits, ids } = createStore()
    await keys.transaction(async () => {
      expect(keys.isInTransaction()).toBe(true)
      await write('a')
      await setTimeout(5)
      expect(keys.isInTransaction()).toBe(true)
      await write('b')
      expect(commits).toEqual([])
      expect(await keys.get('lid-mapping', ['a'])).toEqual({ a: 'a' })
    }, 'one')
    expect(ids()).toEqual([['a', 'b']])
    expect(keys.isInTransaction()).toBe(false)
  })

  test('a transaction inside of another is part of it', async () => {
    const { keys, write, ids } = createStore()
    await keys.transaction(async () => {
      await keys.transaction(() => Promise.resolve(write('inner')), 'two')
      expect(keys.isInTransaction()).toBe(true)
      await write('outer')
    }, 'one')
    expect(ids()).toEqual([['inner', 'outer']])
  })

  test('one that ends leaves another that still runs on the same store as it is', async () => {
    const { keys, write, ids } = createStore()
    const long = keys.transaction(async () => {
      await write('begun')
      await setTimeout(30)
      expect(keys.isInTransaction()).toBe(true)
      await write('ended')
    }, 'long')
    await keys.transaction(() => Promise.resolve(write('short')), 'short')
    expect(ids()).toEqual([['short']])
    await long
    expect(ids()).toEqual([['short'], ['begun', 'ended']])
  })

  test('one that fails commits nothing, and the next ones work', async () => {
    const { keys, write, ids } = createStore()
    const fail = async () => {
      await write('lost')
      throw new Error('No')
    }
    await expect(keys.transaction(fail, 'one')).rejects.toThrow('No')
    const failAtOnce = () => {
      throw new Error('Not even begun')
    }
    await expect(keys.transaction(failAtOnce, 'one')).rejects.toThrow('Not even begun')
    await keys.transaction(() => Promise.resolve(write('kept')), 'one')
    expect(ids()).toEqual([['kept']])
  })

  test('a hundred at once stay apart', async () => {
    const { keys, write, ids } = createStore()
    const names = Array.from({ length: 100 }, (_, index) => `t${index}`)
    await Promise.all(
      names.map((name) =>
        keys.transaction(async () => {
          await write(`${name} first`)
          await setTimeout(Math.random() * 10)
          await write(`${name} second`)
        }, name),
      ),
    )
    const expected = names.map((name) => [`${name} first`, `${name} second`])
    expect(ids().toSorted()).toEqual(expected.toSorted())
  })

  test('storages of others are left alone', async () => {
    const storage = new AsyncLocalStorage<string>()
    const seen = await storage.run('outer', async () => {
      storage.run('inner', () => undefined)
      await setTimeout(1)
      return storage.getStore()
    })
    expect(seen).toBe('outer')
    storage.enterWith('for good')
    storage.run('other', () => undefined)
    expect(storage.getStore()).toBe('for good')
  })
})
