import { type SpawnOptions, spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { onTestFinished } from 'vitest'

/** What a process is given beside PATH and HOME; `DATA_DIR` always, so that no test uses the folder of a person. */
export type Environment = Record<string, string> & { DATA_DIR: string }

/** How a process runs; in the project's folder unless told otherwise. */
export type ProcessOptions = Pick<SpawnOptions, 'detached' | 'cwd' | 'uid' | 'gid'>

export type Exit = { code: number | null; signal: NodeJS.Signals | null }
export type Finished = Exit & { stdout: string; stderr: string }

const root = fileURLToPath(new URL('..', import.meta.url))
const gateway = (main = 'dist/main.js') => [process.execPath, '--enable-source-maps', main]
const CLI = [process.execPath, '--enable-source-maps', 'dist/cli.js']

/** How long a process may take to say or to do what a test waits for. */
const PATIENCE_MS = 50_000

/** A process of a test's own with what it has printed so far. */
export type Child = {
  pid: number
  stdout(): string
  stderr(): string
  /** Waits until the process has printed the pattern on either stream. */
  prints(pattern: RegExp): Promise<RegExpExecArray>
  /** Waits until the process, and whoever it has started, is gone. */
  exited: Promise<Exit>
  signal(name: NodeJS.Signals): void
  /** Ends the process at once, when it has not ended by itself. */
  kill(): Promise<void>
}

/** Starts a process in the project's folder. `detached`: as the leader of a group, as a terminal would. */
export function startChild(
  [command = '', ...args]: readonly string[],
  environment: Environment,
  { detached = false, ...options }: ProcessOptions = {},
): Child {
  const { PATH = '', HOME = '' } = process.env
  const child = spawn(command, args, {
    cwd: root,
    env: { PATH, HOME, ...environment },
    stdio: ['ignore', 'pipe', 'pipe'],
    detached,
    ...options,
  })
  const printed = { stdout: '', stderr: '' }
  const listeners = new Set<() => void>()
  const tell = () => listeners.forEach((listener) => listener())
  for (const stream of ['stdout', 'stderr'] as const) {
    child[stream].setEncoding('utf8').on('data', (text: string) => {
      printed[stream] += text
      tell()
    })
  }
  let isGone = false
  const exited = new Promise<Exit>((resolve, reject) => {
    child.once('error', reject).once('close', (code, signal) => {
      isGone = true
      tell()
      resolve({ code, signal })
    })
  })
  const story = () => `${[command, ...args].join(' ')}\nstdout: ${printed.stdout}\nstderr: ${printed.stderr}`

  const prints: Child['prints'] = (pattern) =>
    new Promise((resolve, reject) => {
      const settle = (finish: () => void) => {
        clearTimeout(timer)
        listeners.delete(look)
        finish()
      }
      const look = () => {
        const match = pattern.exec(printed.stdout) ?? pattern.exec(printed.stderr)
        if (match) settle(() => resolve(match))
        else if (isGone) settle(() => reject(new Error(`It ended without printing ${pattern}: ${story()}`)))
      }
      const timer = setTimeout(
        () => settle(() => reject(new Error(`It did not print ${pattern} in time: ${story()}`))),
        PATIENCE_MS,
      )
      listeners.add(look)
      look()
    })

  return {
    pid: child.pid ?? 0,
    stdout: () => printed.stdout,
    stderr: () => printed.stderr,
    prints,
    exited,
    signal: (name) => void child.kill(name),
    kill: async () => {
      if (!isGone) {
        if (detached && child.pid) process.kill(-child.pid, 'SIGKILL')
        else child.kill('SIGKILL')
      }
      await exited
    },
  }
}

/** Starts a process for one test, ended with it. */
export function startChildForTest(...parameters: Parameters<typeof startChild>): Child {
  const child = startChild(...parameters)
  onTestFinished(child.kill)
  return child
}

/** Runs a process to its end. */
async function run(command: readonly string[], environment: Environment): Promise<Finished> {
  const child = startChild(command, environment)
  const timer = setTimeout(() => child.signal('SIGKILL'), PATIENCE_MS)
  try {
    const exit = await child.exited
    return { ...exit, stdout: child.stdout(), stderr: child.stderr() }
  } finally {
    clearTimeout(timer)
  }
}

/** A gateway that is expected to refuse to start. */
export const runGateway = (environment: Environment): Promise<Finished> => run(gateway(), { PORT: '0', ...environment })

export const runCli = (args: readonly string[], environment: Environment): Promise<Finished> =>
  run([...CLI, ...args], environment)

export type GatewayProcess = Child & {
  url: string
  /** The REST list with a token. */
  list(token: string): Promise<Response>
  /** Asks it to end, and waits until it has. */
  stop(signal?: NodeJS.Signals): Promise<Exit & { ms: number }>
}

/** Starts the built gateway, or another build of it, on a free port and waits for its banner. */
export async function startGatewayProcess(environment: Environment, main?: string): Promise<GatewayProcess> {
  const child = startChild(gateway(main), { PORT: '0', ...environment })
  try {
    return await asGateway(child)
  } catch (error) {
    await child.kill()
    throw error
  }
}

/** The same for one test, ended with it. */
export async function startGatewayProcessForTest(environment: Environment): Promise<GatewayProcess> {
  const gateway = await startGatewayProcess(environment)
  onTestFinished(gateway.kill)
  return gateway
}

/** Waits for the banner, to its last line. */
export async function asGateway(child: Child): Promise<GatewayProcess> {
  const [, url = ''] = await child.prints(/'(http:\S+)\/graphql' \\\n.*\n/)
  return {
    ...child,
    url,
    list: (token) => fetch(`${url}/api/instance/list`, { headers: { token }, signal: AbortSignal.timeout(10_000) }),
    stop: async (signal = 'SIGTERM') => {
      const startedAt = performance.now()
      child.signal(signal)
      return { ...(await child.exited), ms: performance.now() - startedAt }
    },
  }
}

/** Whether a process exists. */
export function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}
