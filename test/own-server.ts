import { accessSync, constants, readdirSync, readFileSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { type Child, type ProcessOptions, startChild } from './child.ts'

/** A server that a test has to itself: it may be stopped, killed and frozen, and keeps its port and its data. */
export type OwnServer = {
  url: string
  port: number
  /** Starts it again after `stop` or `kill`; does nothing while it runs. */
  start(): Promise<void>
  stop(): Promise<void>
  restart(): Promise<void>
  /** Ends it as a crash would. */
  kill(): Promise<void>
  /** Freezes it with all its processes: it accepts, and never answers. */
  pause(): void
  resume(): void
  /** Ends it and removes its data. */
  close(): Promise<void>
}

type Recipe = {
  url: string
  port: number
  command: readonly string[]
  environment: { DATA_DIR: string }
  options: ProcessOptions
  stopSignal: NodeJS.Signals
  /** Fails as long as the server does not serve. */
  probe(): Promise<void>
  removeData(): void
}

const STARTS_WITHIN_MS = 30_000
const LOOK_AGAIN_MS = 50

export async function startOwnServer(recipe: Recipe): Promise<OwnServer> {
  let child: Child | null = null
  let isPaused = false

  const start = async () => {
    if (child) return
    const started = startChild(recipe.command, recipe.environment, recipe.options)
    child = started
    let hasEnded = false
    void started.exited.then(() => (hasEnded = true))
    const deadline = performance.now() + STARTS_WITHIN_MS
    for (;;) {
      const problem = await recipe.probe().then(
        () => null,
        (error: Error) => error,
      )
      if (!problem) return
      if (hasEnded || performance.now() > deadline) {
        await started.kill()
        child = null
        throw new Error(
          `${recipe.command[0]} does not serve: ${problem.message}\n${started.stdout()}${started.stderr()}`,
        )
      }
      await new Promise((resolve) => setTimeout(resolve, LOOK_AGAIN_MS))
    }
  }
  const end = async (signal: NodeJS.Signals) => {
    if (!child) return
    if (isPaused) resume()
    child.signal(signal)
    await child.exited
    child = null
  }
  const signalAll = (signal: NodeJS.Signals) => {
    for (const pid of child ? [child.pid, ...childrenOf(child.pid)] : []) {
      try {
        process.kill(pid, signal)
      } catch {
        // It has ended meanwhile.
      }
    }
  }
  const pause = () => {
    isPaused = true
    signalAll('SIGSTOP')
  }
  const resume = () => {
    isPaused = false
    signalAll('SIGCONT')
  }

  try {
    await start()
  } catch (error) {
    recipe.removeData()
    throw error
  }
  return {
    url: recipe.url,
    port: recipe.port,
    start,
    stop: () => end(recipe.stopSignal),
    restart: async () => {
      await end(recipe.stopSignal)
      await start()
    },
    kill: () => end('SIGKILL'),
    pause,
    resume,
    close: async () => {
      await end('SIGKILL')
      recipe.removeData()
    },
  }
}

/** The processes that one has started, on Linux. */
function childrenOf(pid: number): number[] {
  const parentOf = (candidate: string) => {
    try {
      return Number(/^PPid:\s*(\d+)/m.exec(readFileSync(`/proc/${candidate}/status`, 'utf8'))?.[1])
    } catch {
      return Number.NaN
    }
  }
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && parentOf(name) === pid)
    .map(Number)
}

/** The first of some programs that this machine has. */
export function findProgram(
  names: readonly string[],
  folders = (process.env.PATH ?? '').split(delimiter),
): string | null {
  return folders.flatMap((folder) => names.map((name) => join(folder, name))).find(isExecutable) ?? null
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}

/** Under CI a missing program fails the run, where it would be skipped over elsewhere. */
export function hasProgram(path: string | null, what: string): boolean {
  if (path === null && process.env.CI === 'true') throw new Error(`The tests need ${what} on this machine`)
  return path !== null
}
