import { isUnavailable } from './db/unavailable.ts'
import { GatewayError, internalServerError, serviceUnavailable } from './errors.ts'
import type { Logger } from './logger.ts'

/**
 * The error that a user is shown for whatever was thrown. What is not meant for users is masked, and its cause logged
 * here, once, with the request id.
 */
export function presentFailure(failure: unknown, requestId: string, logger: Logger): GatewayError {
  if (failure instanceof GatewayError) return failure
  if (isUnavailable(failure)) {
    logger.warn({ requestId, err: failure }, 'the database is not available')
    return serviceUnavailable()
  }
  logger.error({ requestId, err: failure }, 'unexpected error')
  return internalServerError(requestId)
}
