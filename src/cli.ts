import { setTimeout as wait } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { type Config, ConfigError, readConfig } from './config.ts'
import { databaseNameOf } from './db/address.ts'
import { DataDirUnusable } from './db/data-dir.ts'
import { DataDirInUse } from './db/data-dir-lock.ts'
import { openDatabase } from './db/database.ts'
import { NoDatabase } from './db/no-database.ts'
import { isUnavailable } from './db/unavailable.ts'
import { DatabaseUnreachable } from './db/unreachable.ts'
import { loadEncryptionKey } from './encryption-key.ts'
import { type ErrorCode, GatewayError } from './errors.ts'
import { createLogger } from './logger.ts'
import { findCommand } from './operator/commands.ts'
import type { CommandStep } from './operator/step.ts'
import { formatOutput, formatStep } from './operator/print.ts'
import { type CommandRequest, type CommandResult, runCommand } from './operator/run.ts'
import { sendCommand } from './operator/socket.ts'
import { type KeyIds, keyIdOf, Sealer } from './sealing/sealer.ts'
import { SessionRegistry } from './session/registry.ts'
import { surviveRejections } from './survive-rejections.ts'
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
      phone: { type: 'string' },
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

const LINGER_MS = 500

/** How long a command waits for another command, or for a gateway that is starting, to let go of the data folder. */
const BUSY_WAIT_MS = 10_000

type Tell = (step: CommandStep) => void

/** Runs a command through the gateway that runs on this data folder (and has migrated), or else on the database itself. */
async function execute(config: Config, command: CommandRequest, tell: Tell): Promise<CommandResult> {
  if (!config.databaseUrl && findCommand(command.name)?.needsPostgres) {
    throw new UsageError(
      `"${command.name}" is for gateways that share a PostgreSQL database, and DATABASE_URL is not set: the embedded database has one gateway, which runs all sessions. Set DATABASE_URL as the gateways have it`,
    )
  }
  if (config.databaseUrl && command.name !== MIGRATE) {
    const result = await executeThere(config, command, tell)
    if (result) return result
  }
  const deadline = Date.now() + BUSY_WAIT_MS
  for (;;) {
    try {
      return await executeHere(config, command, tell)
    } catch (error) {
      if (!(error instanceof DataDirInUse)) throw error
      const result = await executeThere(config, command, tell)
      if (result) return result
      if (Date.now() > deadline) throw error
      await wait(200)
    }
  }
}

async function executeHere(config: Config, command: CommandRequest, tell: Tell): Promise<CommandResult> {
  const logger = await createLogger(config)
  const mustExist = command.name !== MIGRATE && !findCommand(command.name)?.makesDatabase
  const { db, urgent, isNew, migrate, close } = await openDatabase({ ...config, mustExist, logger })
  const closers = [close]
  try {
    const applied = await migrate()
    // Another process may have made them meanwhile.
    if (isNew && applied.length > 0) tell({ kind: 'database made', message: newDatabase(config) })
    if (command.name === MIGRATE) return { output: { applied } }
    const openSessions = async () => {
      surviveRejections(logger)
      const registry = new SessionRegistry({ ...config, db, urgent, sealer: sealerOf(config), logger })
      closers.push(() => registry.close())
      if (!(await registry.start({ restores: false }))) throw runElsewhere(config)
      return registry
    }
    return await runCommand({ db, logger, sealer: () => sealerOf(config), live: null, openSessions }, command, {
      tell,
      signal: new AbortController().signal,
    })
  } finally {
    for (const closeOne of closers.toReversed()) await closeOne()
  }
}

const runElsewhere = ({ dataDir }: Config) =>
  new GatewayError(
    'SERVICE_UNAVAILABLE',
    `Gateways run the sessions of this database, and none of them takes commands in DATA_DIR ${dataDir}. Run this command on the machine of one of them, with its DATA_DIR and exactly its DATABASE_URL`,
  )

function sealerOf(config: Config): Sealer {
  if (config.databaseUrl && !config.encryptionKey) {
    throw new UsageError('ENCRYPTION_KEY is not set. Set it to the new key, and ENCRYPTION_KEY_PREVIOUS to the old one')
  }
  return new Sealer(loadEncryptionKey(config), config.previousEncryptionKey)
}

const idOf = (key: Buffer | null) => (key ? keyIdOf(key).toString('hex') : undefined)

const keyIdsIn = ({ encryptionKey, previousEncryptionKey }: Config): KeyIds => ({
  current: idOf(encryptionKey),
  previous: idOf(previousEncryptionKey),
})

/** null when nobody listens (yet). */
async function executeThere(config: Config, command: CommandRequest, tell: Tell): Promise<CommandResult | null> {
  if (command.name === MIGRATE) return { output: { applied: [] } }
  try {
    return await sendCommand(config, { ...command, keys: keyIdsIn(config) }, tell)
  } catch (error) {
    if (['ENOENT', 'ENOTDIR', 'ECONNREFUSED', 'EACCES'].includes((error as NodeJS.ErrnoException).code ?? ''))
      return null
    throw error
  }
}

const newDatabase = ({ databaseUrl, dataDir }: Config): string =>
  databaseUrl === null
    ? `A new database was made in DATA_DIR ${dataDir}`
    : `Tables were made in the database ${databaseNameOf(databaseUrl)} of DATABASE_URL`

function print(result: CommandResult, json: boolean): void {
  if (json) console.log(JSON.stringify('error' in result ? result : result.output))
  else if ('error' in result) console.error(result.error.message)
  else console.log(formatOutput(result.output))
  if ('error' in result) process.exitCode = 1
}

/** How far it is, for the person who waits: on stderr where stdout is for the one JSON object. */
async function printStep(step: CommandStep, json: boolean): Promise<void> {
  const say = json ? console.error : console.log
  say(await formatStep(step))
}

function codeOf(error: unknown): ErrorCode {
  const isBadOption = error instanceof TypeError && 'code' in error && String(error.code).startsWith('ERR_PARSE_ARGS')
  const isMistaken = [UsageError, ConfigError, DataDirUnusable, NoDatabase].some((mistake) => error instanceof mistake)
  if (isBadOption || isMistaken) return 'BAD_USER_INPUT'
  if (error instanceof DataDirInUse) return 'CONFLICT'
  return error instanceof DatabaseUnreachable || isUnavailable(error) ? 'SERVICE_UNAVAILABLE' : 'INTERNAL_SERVER_ERROR'
}

async function main(argv: readonly string[]): Promise<void> {
  const json = argv.includes('--json')
  try {
    const command = parseCommandLine(argv)
    if (!command) return console.log(usage())
    print(await execute(readConfig('command'), command, (step) => void printStep(step, json)), json)
  } catch (error) {
    const { message } = error as Error
    print({ error: { code: codeOf(error), message } }, json)
  }
}

await main(process.argv.slice(2))
// Baileys leaves timers behind that nothing can clear.
setTimeout(() => process.exit(), LINGER_MS).unref()
