import { randomUUID } from 'node:crypto'
import { linkSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { identifyProcess, isProcessAlive, placeOf, readIfPresent } from '../process-identity.ts'

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
  writeFileSync(mine, identifyProcess(process.pid), { mode: 0o600 })
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
  if (await isHeld(holder, lock, dataDir)) throw new DataDirInUse(dataDir, pid)
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

async function isHeld(holder: string, lock: string, dataDir: string): Promise<boolean> {
  if (placeOf(holder) === placeOf(identifyProcess(process.pid))) return isProcessAlive(holder)
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
