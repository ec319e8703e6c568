import { banner } from './banner.ts'
import { type Config, ConfigError, readConfig } from './config.ts'
import { startGateway } from './gateway.ts'
import { createLogger, type Logger } from './logger.ts'
import { surviveRejections } from './survive-rejections.ts'

/** How long a repeated signal counts as the same one: Ctrl-C arrives twice under npm, from the terminal and from npm. */
const SAME_SIGNAL_MS = 1_000

/** Resolves with the first signal to stop. Whoever insists later ends the process at once. */
function askedToStop(): Promise<NodeJS.Signals> {
  return new Promise((resolve) => {
    const stop = (signal: NodeJS.Signals) => {
      resolve(signal)
      setTimeout(() => process.off('SIGTERM', stop).off('SIGINT', stop), SAME_SIGNAL_MS).unref()
    }
    process.on('SIGTERM', stop).on('SIGINT', stop)
  })
}

function readConfigOrExplain(): Config | null {
  try {
    return readConfig('gateway')
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    console.error(error.message)
    return null
  }
}

/** Baileys leaves timers behind that nothing can clear; a process that has closed everything does not wait for them. */
const LINGER_MS = 500

async function run(config: Config, logger: Logger): Promise<void> {
  surviveRejections(logger)
  // Listened for from here on, so that a stop during the start is a clean one.
  const stop = askedToStop()
  const gateway = await startGateway(config, logger)
  console.log(banner(gateway, config))
  logger.info({ signal: await stop }, 'stopping')
  try {
    await gateway.close()
    logger.info('stopped')
    setTimeout(() => process.exit(), LINGER_MS).unref()
  } catch (error) {
    logger.error({ err: error }, 'stopping failed')
    process.exitCode = 1
  }
}

const config = readConfigOrExplain()
if (config) {
  const logger = await createLogger(config)
  try {
    await run(config, logger)
  } catch (error) {
    console.error(`Switchboard could not start: ${(error as Error).message}`)
    logger.debug({ err: error }, 'could not start')
    process.exitCode = 1
  }
} else {
  process.exitCode = 1
}
