import type { Logger } from './logger.ts'

/** Baileys drops promises: a query whose socket has closed must not end the process with all its sessions. */
export function surviveRejections(logger: Logger): void {
  process.on('unhandledRejection', (reason) => logger.error({ err: reason }, 'a rejection that nobody has handled'))
}
