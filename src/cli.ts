import { setTimeout } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { type Config, ConfigError, readConfig } from './config.ts'
import { DataDirInUse } from './db/data-dir-lock.ts'
import { DatabaseUnreachable, openDatabase } from './db/database.ts'
import { isUnavailable } from './db/unavailable.ts'
import { loadEncryptionKey } from './encryption-key.ts'
import type { ErrorCode } from './errors.ts'
import { createLogger } from './logger.ts'
import { findCommand } from './operator/commands.ts'
import { formatOutput } from './operator/print.ts'
import { type CommandRequest, type CommandResult, runCommand } from './operator/run.ts'
import { sendCommand } from './operator/socket.ts'
import { Sealer } from './sealing/sealer.ts'
import { usage, usageOf } from './operator/usage.ts'

/** A command line that cannot be understood. */
class UsageError extends Error {}

/** Not among the commands, since every command migrates first. */
const MIGRATE = 'migrate'
const MIGRATE_TAKES = { args: [], options: [] }

/** null: help was asked for. */
function parseCommandLine(argv: readonly string[]): CommandRequest | null {
  const { values, positionals } = parseArgs({
    args: [...argv],
    allowPositionals: true,
    options: {
      json: { type: 'boolean' },
      help: { type: 'boolean', short: 'h' },
      quota: { type: 'string' },
      token: { type: 'string' },
    },
  })
  const { json: _json, help, ...options } = values
  if (help || positionals[0] === 'help') return null
  const words = positionals[0] === MIGRATE ? 1 : 2
  const name = positionals.slice(0, words).join(' ')
  const args = positionals.slice(words)
  const takes = name === MIGRATE ? MIGRATE_TAKES : findCommand(name)
  if (!takes) throw new UsageError(`There is no command "${name}".\n\n${usage()}`)
  const stray = Object.keys(options).find((option) => !takes.options.some((known) => known === option))
  if (stray) throw new UsageError(`--${stray} does not belong to this command. Usage: ${usageOf(name)}`)
  if (args.length !== takes.args.length) throw new UsageError(`The arguments do not fit. Usage: ${usageOf(name)}`)
  return { name, args, options }
}

/** How long a command waits for another command, or for a gateway that is starting, to let go of the data folder. */
const BUSY_WAIT_MS = 10_000

/** Runs a command on the database, or through the gateway that holds the embedded one (and has migrated it). */
async function execute(config: Config, command: CommandRequest): Promise<CommandResult> {
  const deadline = Date.now() + BUSY_WAIT_MS
  for (;;) {
    try {
      return await executeHere(config, command)
    } catch (error) {
      if (!(error instanceof DataDirInUse)) throw error
      const result = await executeThere(config, command)
      if (result) return result
      if (Date.now() > deadline) throw error
      await setTimeout(200)
    }
  }
}

async function executeHere(config: Config, command: CommandRequest): Promise<CommandResult> {
  const logger = await createLogger(config)
  const { db, migrate, close } = await openDatabase({ ...config, logger })
  try {
    const applied = await migrate()
    return command.name === MIGRATE
      ? { output: { applied } }
      : await runCommand({ db, logger, sealer: () => sealerOf(config), live: null }, command)
  } finally {
    await close()
  }
}

function sealerOf(config: Config): Sealer {
  if (config.databaseUrl && !config.encryptionKey) {
    throw new UsageError('ENCRYPTION_KEY is not set. Set it to the new key, and ENCRYPTION_KEY_PREVIOUS to the old one')
  }
  return new Sealer(loadEncryptionKey(config), config.previousEncryptionKey)
}

/** null when nobody listens (yet). */
async function executeThere(config: Config, command: CommandRequest): Promise<CommandResult | null> {
  if (command.name === MIGRATE) return { output: { applied: [] } }
  try {
    return await sendCommand(config.dataDir, command)
  } catch (error) {
    if (['ENOENT', 'ECONNREFUSED'].includes((error as NodeJS.ErrnoException).code ?? '')) return null
    throw error
  }
}

function print(result: CommandResult, json: boolean): void {
  if (json) console.log(JSON.stringify('error' in result ? result : result.output))
  else if ('error' in result) console.error(result.error.message)
  else console.log(formatOutput(result.output))
  if ('error' in result) process.exitCode = 1
}

function codeOf(error: unknown): ErrorCode {
  const isBadOption = error instanceof TypeError && 'code' in error && String(error.code).startsWith('ERR_PARSE_ARGS')
  if (isBadOption || error instanceof UsageError || error instanceof ConfigError) return 'BAD_USER_INPUT'
  if (error instanceof DataDirInUse) return 'CONFLICT'
  return error instanceof DatabaseUnreachable || isUnavailable(error) ? 'SERVICE_UNAVAILABLE' : 'INTERNAL_SERVER_ERROR'
}

async function main(argv: readonly string[]): Promise<void> {
  const json = argv.includes('--json')
  try {
    const command = parseCommandLine(argv)
    if (!command) return console.log(usage())
    print(await execute(readConfig('command'), command), json)
  } catch (error) {
    const { message } = error as Error
    print({ error: { code: codeOf(error), message } }, json)
  }
}

await main(process.argv.slice(2))
