import { banner } from './banner.ts'
import { type Config, ConfigError, readConfig } from './config.ts'
import { startGateway } from './gateway.ts'
import { createLogger, type Logger } from './logger.ts'

function readConfigOrExplain(): Config | null {
  try {
    return readConfig('gateway')
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    console.error(error.message)
    return null
  }
}

/** How long a repeated signal counts as the same one. */
const SAME_SIGNAL_MS = 1_000

async function run(config: Config, logger: Logger): Promise<void> {
  const gateway = await startGateway(config, logger)
  console.log(banner(gateway.url, config, gateway.firstContact))
  let isStopping = false
  const stop = (signal: NodeJS.Signals) => {
    if (isStopping) return
    isStopping = true
    // Ctrl-C arrives twice under npm: from the terminal and from npm. Who insists later ends the process at once.
    setTimeout(() => process.off('SIGTERM', stop).off('SIGINT', stop), SAME_SIGNAL_MS).unref()
    logger.info({ signal }, 'stopping')
    gateway.close().then(
      () => logger.info('stopped'),
      (error) => {
        logger.error({ err: error }, 'stopping failed')
        process.exitCode = 1
      },
    )
  }
  process.on('SIGTERM', stop).on('SIGINT', stop)
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
