import { type Logger, pino } from 'pino'
import type { Config } from './config.ts'

export type { Logger }

/** Structured log on stderr; stdout belongs to the banner and to the output of commands. */
export function createLogger({ logLevel, logFormat }: Pick<Config, 'logLevel' | 'logFormat'>): Promise<Logger> {
  return logFormat === 'pretty' ? prettyLogger(logLevel) : Promise.resolve(jsonLogger(logLevel))
}

const options = (level: string) => ({
  level,
  base: null,
  formatters: { level: (label: string) => ({ level: label }) },
  timestamp: pino.stdTimeFunctions.isoTime,
  serializers: { err: describeError },
})

/** Causes of causes; an error may also be its own. */
const MAX_CAUSES = 5

/** What the log shows of an error: never what hangs on it, such as the connection that broke, with its keys. */
export function describeError(error: unknown, depth = 0): unknown {
  if (!(error instanceof Error)) return error === undefined ? undefined : String(error)
  if (depth > MAX_CAUSES) return undefined
  const { message, stack, cause } = error
  return {
    type: error.constructor.name,
    message,
    code: 'code' in error ? error.code : undefined,
    stack,
    cause: describeError(cause, depth + 1),
    // A host with several addresses fails with an error for each.
    ...(error instanceof AggregateError && { errors: error.errors.map((one) => describeError(one, depth + 1)) }),
  }
}

const jsonLogger = (level: string): Logger => pino(options(level), pino.destination({ dest: 2, sync: false }))

async function prettyLogger(level: string): Promise<Logger> {
  const { default: pretty } = await import('pino-pretty')
  return pino(
    options(level),
    pretty({ destination: 2, sync: true, translateTime: 'SYS:HH:MM:ss.l', ignore: 'pid,hostname' }),
  )
}
