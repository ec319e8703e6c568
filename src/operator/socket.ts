import { createHash } from 'node:crypto'
import { rmSync } from 'node:fs'
import { createServer, request as httpRequest } from 'node:http'
import { connect } from 'node:net'
import { join, relative } from 'node:path'
import { createInterface } from 'node:readline'
import { z } from 'zod'
import { readJsonBody } from '../http/body.ts'
import { prepareDrain } from '../http/drain.ts'
import type { Config } from '../config.ts'
import { makeDataDir } from '../db/data-dir.ts'
import { presentFailure } from '../failure.ts'
import type { CommandTools } from './commands.ts'
import type { CommandStep } from './step.ts'
import { type CommandRequest, type CommandResult, runCommand } from './run.ts'

/** Longest socket path that all systems take. */
const MAX_SOCKET_PATH = 103

/** How long a stop waits for running commands. */
const DRAIN_MS = 1_000

/** How long a command waits for the running gateway to say anything; the first code to scan lives for a minute. */
const ANSWER_TIMEOUT_MS = 90_000

type Place = Pick<Config, 'dataDir' | 'databaseUrl'>

/**
 * The socket in a data folder: one for the embedded database, and one for each PostgreSQL database that gateways with this
 * folder work on. Written relative to the working directory where that is what fits.
 */
function socketPath({ dataDir, databaseUrl }: Place): string {
  const database = databaseUrl && createHash('sha256').update(databaseUrl).digest('hex').slice(0, 8)
  const absolute = join(dataDir, database ? `operator-${database}.sock` : 'operator.sock')
  const short = relative(process.cwd(), absolute)
  const path = short.length < absolute.length ? short : absolute
  if (Buffer.byteLength(path) > MAX_SOCKET_PATH) {
    throw new Error(
      `DATA_DIR ${dataDir} is too long for a Unix socket: the path has to be below ${MAX_SOCKET_PATH} bytes. Use a shorter one`,
    )
  }
  return path
}

const Request = z.object({
  name: z.string(),
  args: z.array(z.string()),
  options: z.object({ quota: z.string().optional(), token: z.string().optional(), phone: z.string().optional() }),
  keys: z.object({ current: z.string().optional(), previous: z.string().optional() }).optional(),
})

/** What a gateway says to a command: how far it is, any number of times, and then the result. A line of JSON each. */
type Line = { step: CommandStep } | CommandResult

/**
 * Takes operator commands on a Unix socket in the data folder, so that they run in the process that holds the database or
 * the sessions. Whoever may open the socket (mode 0600) is the operator. Null when another gateway takes them already.
 */
export async function serveCommands(tools: CommandTools, place: Place): Promise<{ close(): Promise<void> } | null> {
  const path = socketPath(place)
  makeDataDir(place.dataDir)
  // Beside the embedded database the folder's lock is ours, so that nobody can be there.
  if (place.databaseUrl !== null && (await isTaken(path))) return null
  const server = createServer((request, response) => {
    response.setHeader('Content-Type', 'application/x-ndjson')
    const say = (line: Line) => response.write(`${JSON.stringify(line)}\n`)
    const gone = new AbortController()
    response.once('close', () => gone.abort(new Error('Whoever asked has gone')))
    const run = async (): Promise<CommandResult> => {
      try {
        return await runCommand(tools, Request.parse(await readJsonBody(request)), {
          tell: (step) => say({ step }),
          signal: gone.signal,
        })
      } catch (failure) {
        const { code, message } = presentFailure(failure, 'operator', tools.logger)
        return { error: { code, message } }
      }
    }
    void run().then((result) => response.end(`${JSON.stringify(result satisfies Line)}\n`))
  })
  const drain = prepareDrain(server, DRAIN_MS)
  // A socket that is there all the same was left by a process that is gone.
  rmSync(path, { force: true })
  const umask = process.umask(0o177)
  try {
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject).listen(path, resolve)
    })
  } finally {
    process.umask(umask)
  }
  return {
    close: async () => {
      await drain()
    },
  }
}

function isTaken(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path)
    socket
      .once('error', () => resolve(false))
      .once('connect', () => {
        socket.destroy()
        resolve(true)
      })
  })
}

/** Sends a command to the gateway that holds the database or the sessions. */
export function sendCommand(
  place: Place,
  command: CommandRequest,
  tell: (step: CommandStep) => void,
): Promise<CommandResult> {
  return new Promise((resolve, reject) => {
    const request = httpRequest(
      {
        socketPath: socketPath(place),
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        timeout: ANSWER_TIMEOUT_MS,
      },
      (response) => {
        createInterface(response)
          .on('line', (text) => {
            const line = JSON.parse(text) as Line
            if ('step' in line) tell(line.step)
            else resolve(line)
          })
          .once('close', () => reject(new Error('The running gateway ended before the command was done. Try again')))
        response.once('error', reject)
      },
    )
    request.once('timeout', () =>
      request.destroy(new Error('The running gateway does not answer. Try again, or restart it')),
    )
    request.on('error', reject).end(JSON.stringify(command))
  })
}
