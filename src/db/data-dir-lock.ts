import { randomUUID } from 'node:crypto'
import { linkSync, readFileSync, readlinkSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'

/** A gateway that holds the lock answers on its socket after so long, or is gone. */
const START_MS = 30_000

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
export async function lockDataDir(dataDir: string): Promise<() => void> {
  const lock = join(dataDir, 'gateway.lock')
  const mine = join(dataDir, `gateway.lock.${randomUUID()}`)
  writeFileSync(mine, identify(process.pid), { mode: 0o600 })
  try {
    while (!tryLink(mine, lock)) await removeIfStale(lock, `${mine}.stale`, dataDir)
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

async function removeIfStale(lock: string, aside: string, dataDir: string): Promise<void> {
  const holder = readIfPresent(lock)
  if (holder === null) return
  const pid = Number.parseInt(holder, 10)
  if (await isHeld(holder, pid, lock, dataDir)) throw new DataDirInUse(dataDir, pid)
  // Read again, and once more after it was renamed: another process may have replaced it by its own meanwhile.
  if (readIfPresent(lock) !== holder) return
  try {
    renameSync(lock, aside)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return
    throw error
  }
  if (readIfPresent(aside) !== holder) tryLink(aside, lock)
  rmSync(aside, { force: true })
}

async function isHeld(holder: string, pid: number, lock: string, dataDir: string): Promise<boolean> {
  if (placeOf(holder) === placeOf(identify(process.pid))) return isHolderAlive(holder, pid)
  // Another container's process ids mean nothing here; its gateway answers on the socket, once it has started.
  const takenAt = statSync(lock, { throwIfNoEntry: false })?.mtimeMs ?? 0
  while (readIfPresent(lock) === holder) {
    if (await answers(join(dataDir, 'operator.sock'))) return true
    if (Date.now() - takenAt > START_MS) return false
    await setTimeout(250)
  }
  return false
}

function answers(socketPath: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(socketPath)
    socket.once('connect', () => resolve(true)).once('error', () => resolve(false))
    socket.once('connect', () => socket.destroy())
  })
}

function isHolderAlive(holder: string, pid: number): boolean {
  try {
    process.kill(pid, 0)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EPERM') return false
  }
  return identify(pid) === holder
}

/**
 * A process id with, on Linux, its start time and the namespace in which the id is one: in a container every run may
 * have the same id.
 */
function identify(pid: number): string {
  const stat = readIfPresent(`/proc/${pid}/stat`)
  const startTime = stat?.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? ''
  return [pid, startTime, PLACE].join(' ')
}

const placeOf = (holder: string): string => holder.split(' ').slice(2).join(' ')

const PLACE = `${hostname()} ${processNamespace()}`

function processNamespace(): string {
  try {
    return readlinkSync('/proc/self/ns/pid')
  } catch {
    return ''
  }
}

function readIfPresent(path: string): string | null {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    if (['ENOENT', 'ESRCH'].includes((error as NodeJS.ErrnoException).code ?? '')) return null
    throw error
  }
}
