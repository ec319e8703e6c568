import { setTimeout } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { type Config, ConfigError, readConfig } from './config.ts'
import { DataDirInUse } from './db/data-dir-lock.ts'
import { DatabaseUnreachable, openDatabase } from './db/database.ts'
import { migrateToLatest } from './db/migrate.ts'
import { isUnavailable } from './db/unavailable.ts'
import { loadEncryptionKey } from './encryption-key.ts'
import type { ErrorCode } from './errors.ts'
import { createLogger } from './logger.ts'
import { COMMANDS } from './operator/commands.ts'
import { formatOutput } from './operator/print.ts'
import { type CommandRequest, type CommandResult, runCommand } from './operator/run.ts'
import { sendCommand } from './operator/socket.ts'
import { Sealer } from './sealing/sealer.ts'
import { usage, usageOf } from './operator/usage.ts'

/** A command line that cannot be understood. */
class UsageError extends Error {}

/** `migrate` is not among the commands, since every command migrates first. */
const MIGRATE = 'migrate'

function parseCommandLine(argv: readonly string[]): { command: CommandRequest; json: boolean; help: boolean } {
  const { values, positionals } = parseArgs({
    args: [...argv],
    allowPositionals: true,
    options: {
      json: { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false },
      quota: { type: 'string' },
      token: { type: 'string' },
    },
  })
  const { json, help, ...options } = values
  if (positionals[0] === MIGRATE && positionals.length === 1)
    return { command: { name: MIGRATE, args: [], options }, json, help }
  const name = positionals.slice(0, 2).join(' ')
  const args = positionals.slice(2)
  const command = COMMANDS[name]
  if (help || !command) return { command: { name, args, options }, json, help }
  const stray = Object.keys(options).find((option) => !command.options.some((known) => known === option))
  if (args.length !== command.args.length || stray) {
    throw new UsageError(
      `${stray ? `--${stray} does not belong to this command` : 'The arguments do not fit'}. Usage: ${usageOf(name)}`,
    )
  }
  return { command: { name, args, options }, json, help }
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
  const { db, close } = await openDatabase({ ...config, logger })
  try {
    const applied = await migrateToLatest(db)
    return command.name === MIGRATE
      ? { output: { applied } }
      : await runCommand({ db, logger, sealer: () => sealerOf(config) }, command)
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
    const { command, help } = parseCommandLine(argv)
    if (help) return console.log(usage())
    if (command.name !== MIGRATE && !COMMANDS[command.name])
      throw new UsageError(`There is no command "${command.name}".\n\n${usage()}`)
    print(await execute(readConfig('command'), command), json)
  } catch (error) {
    const { message } = error as Error
    print({ error: { code: codeOf(error), message } }, json)
  }
}

await main(process.argv.slice(2))
