import { readFileSync, readlinkSync } from 'node:fs'
import { hostname } from 'node:os'

/**
 * A process id with, on Linux, its start time and the namespace in which the id is one: in a container every run may
 * have the same id.
 */
export function identifyProcess(pid: number): string {
  const stat = readIfPresent(`/proc/${pid}/stat`)
  const startTime = stat?.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? ''
  return [pid, startTime, PLACE].join(' ')
}

/** Where the process ids of an identity are ids. */
export const placeOf = (identity: string): string => identity.split(' ').slice(2).join(' ')

/** Whether the process of an identity from this place still runs. */
export function isProcessAlive(identity: string): boolean {
  const pid = Number.parseInt(identity, 10)
  try {
    process.kill(pid, 0)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EPERM') return false
  }
  // One that is there and hidden may well be it.
  return readIfPresent(`/proc/${pid}/stat`) === null || identifyProcess(pid) === identity
}

/** The identity of this process for the processes of other machines, too; null where machines cannot be told apart. */
export function identifyAmongMachines(): string | null {
  return BOOT_ID && processNamespace() ? `${identifyProcess(process.pid)} ${BOOT_ID}` : null
}

/** Whether a process of this very machine and namespace is certainly gone. Of any other nothing is known. */
export function isCertainlyGone(identity: string | null): boolean {
  const mine = identifyAmongMachines()
  if (identity === null || mine === null || placeOf(identity) !== placeOf(mine)) return false
  return !isProcessAlive(identity.slice(0, -BOOT_ID.length - 1))
}

const PLACE = `${hostname()} ${processNamespace()}`
/** New with each start of the machine. */
const BOOT_ID = readIfPresent('/proc/sys/kernel/random/boot_id')?.trim() ?? ''

function processNamespace(): string {
  try {
    return readlinkSync('/proc/self/ns/pid')
  } catch {
    return ''
  }
}

/** A file's text; null when there is none. */
export function readIfPresent(path: string): string | null {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    if (['ENOENT', 'ESRCH'].includes((error as NodeJS.ErrnoException).code ?? '')) return null
    throw error
  }
}
