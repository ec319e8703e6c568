import { type Logger, pino, stdSerializers } from 'pino'
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
  serializers: { err: stdSerializers.errWithCause },
})

const jsonLogger = (level: string): Logger => pino(options(level), pino.destination({ dest: 2, sync: false }))

async function prettyLogger(level: string): Promise<Logger> {
  const { default: pretty } = await import('pino-pretty')
  return pino(
    options(level),
    pretty({ destination: 2, sync: true, translateTime: 'SYS:HH:MM:ss.l', ignore: 'pid,hostname' }),
  )
}
