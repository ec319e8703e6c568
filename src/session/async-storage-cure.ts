import { AsyncLocalStorage } from 'node:async_hooks'

/** What Baileys keeps in its storage while a transaction of keys runs. */
const isKeyTransaction = (store: unknown): boolean =>
  typeof store === 'object' && store !== null && 'mutations' in store && 'dbQueries' in store

let isCured = false

/**
 * Baileys makes an AsyncLocalStorage per socket and never disables it (Baileys issue 2806). Below Node 24 each one that
 * was ever used makes every await of the process slower, for good: it is disabled here while none of its transactions
 * runs. To be called before Baileys is loaded; not needed from Node 24 on.
 */
export function cureAsyncStorage(): void {
  if (isCured || Number(process.versions.node.split('.')[0]) >= 24) return
  isCured = true
  const run = AsyncLocalStorage.prototype.run
  const running = new WeakMap<object, number>()
  AsyncLocalStorage.prototype.run = function <Result>(
    this: AsyncLocalStorage<unknown>,
    store: unknown,
    work: (...args: unknown[]) => Result,
    ...args: unknown[]
  ): Result {
    if (!isKeyTransaction(store)) return run.call(this, store, work, ...args) as Result
    running.set(this, (running.get(this) ?? 0) + 1)
    const leave = () => {
      const left = (running.get(this) ?? 1) - 1
      running.set(this, left)
      if (left === 0) this.disable()
    }
    let result: Result
    try {
      result = run.call(this, store, work, ...args) as Result
    } catch (error) {
      leave()
      throw error
    }
    if (result instanceof Promise) result.then(leave, leave)
    else leave()
    return result
  } as typeof run
}
