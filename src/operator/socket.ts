import { rmSync } from 'node:fs'
import { createServer, request as httpRequest } from 'node:http'
import { join, relative } from 'node:path'
import { z } from 'zod'
import { readJsonBody } from '../http/body.ts'
import { prepareDrain } from '../http/drain.ts'
import { replyJson } from '../http/reply.ts'
import { presentFailure } from '../failure.ts'
import type { CommandTools } from './commands.ts'
import { type CommandRequest, type CommandResult, runCommand } from './run.ts'

/** Longest socket path that all systems take. */
const MAX_SOCKET_PATH = 103

/** How long a stop waits for running commands. */
const DRAIN_MS = 1_000

/** How long a command waits for the running gateway. */
const ANSWER_TIMEOUT_MS = 60_000

/** The socket in a data folder; written relative to the working directory where that is what fits. */
function socketPath(dataDir: string): string {
  const absolute = join(dataDir, 'operator.sock')
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
  options: z.object({ quota: z.string().optional(), token: z.string().optional() }),
  keys: z.object({ current: z.string().optional(), previous: z.string().optional() }).optional(),
})

/**
 * Takes operator commands on a Unix socket in the data folder while the embedded database is held by this process.
 * Whoever may open the socket (mode 0600) is the operator.
 */
export async function serveCommands(tools: CommandTools, dataDir: string): Promise<{ close(): Promise<void> }> {
  const path = socketPath(dataDir)
  const server = createServer((request, response) => {
    readJsonBody(request)
      .then((body) => runCommand(tools, Request.parse(body)))
      .catch((failure): CommandResult => {
        const { code, message } = presentFailure(failure, 'operator', tools.logger)
        return { error: { code, message } }
      })
      .then((result) => replyJson(response, 200, JSON.stringify(result)))
  })
  const drain = prepareDrain(server, DRAIN_MS)
  // The data folder's lock is ours, so a socket that is there was left by a process that is gone.
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

/** Sends a command to the gateway that holds the data folder. */
export function sendCommand(dataDir: string, command: CommandRequest): Promise<CommandResult> {
  return new Promise((resolve, reject) => {
    const request = httpRequest(
      {
        socketPath: socketPath(dataDir),
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        timeout: ANSWER_TIMEOUT_MS,
      },
      (response) => {
        let text = ''
        response.setEncoding('utf8')
        response.on('data', (chunk) => (text += chunk))
        response.on('end', () => {
          try {
            resolve(JSON.parse(text) as CommandResult)
          } catch (error) {
            reject(error)
          }
        })
        response.on('error', reject)
      },
    )
    request.once('timeout', () =>
      request.destroy(new Error('The running gateway does not answer. Try again, or restart it')),
    )
    request.on('error', reject).end(JSON.stringify(command))
  })
}
