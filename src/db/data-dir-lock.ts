import { linkSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

/** Another process uses the embedded database, which only one process may open. */
export class DataDirInUse extends Error {
  constructor(dataDir: string, pid: number) {
    super(
      `The embedded database in ${dataDir} is in use by process ${pid}. Stop that process, or set DATA_DIR to another folder, or DATABASE_URL to use PostgreSQL`,
    )
    this.name = 'DataDirInUse'
  }
}

/**
 * Takes the lock file of a data folder and returns the function that gives it back.
 * A lock whose process is gone (`kill -9`, power loss) is taken over.
 * @throws DataDirInUse
 */
export function lockDataDir(dataDir: string): () => void {
  const lock = join(dataDir, 'gateway.lock')
  const mine = join(dataDir, `gateway.lock.${process.pid}`)
  writeFileSync(mine, identify(process.pid), { mode: 0o600 })
  try {
    while (!tryLink(mine, lock)) removeIfStale(lock, `${mine}.stale`, dataDir)
  } finally {
    rmSync(mine, { force: true })
  }
  return () => rmSync(lock, { force: true })
}

/** A link is made by one process only, and with its content already inside. */
function tryLink(from: string, to: string): boolean {
  try {
    linkSync(from, to)
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false
    throw error
  }
}

function removeIfStale(lock: string, aside: string, dataDir: string): void {
  const holder = readIfPresent(lock)
  if (holder === null) return
  const pid = Number.parseInt(holder, 10)
  if (isHolderAlive(holder, pid)) throw new DataDirInUse(dataDir, pid)
  // Renamed first and read again: another process may have replaced the stale lock by its own meanwhile.
  try {
    renameSync(lock, aside)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return
    throw error
  }
  if (readIfPresent(aside) !== holder) tryLink(aside, lock)
  rmSync(aside, { force: true })
}

function isHolderAlive(holder: string, pid: number): boolean {
  try {
    process.kill(pid, 0)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EPERM') return false
  }
  return identify(pid) === holder
}

/** A process id with, on Linux, its start time: in a container every run may have the same id. */
function identify(pid: number): string {
  const stat = readIfPresent(`/proc/${pid}/stat`)
  const startTime = stat?.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? ''
  return `${pid} ${startTime}`.trim()
}

function readIfPresent(path: string): string | null {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    if (['ENOENT', 'ESRCH'].includes((error as NodeJS.ErrnoException).code ?? '')) return null
    throw error
  }
}
