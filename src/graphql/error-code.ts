import { ERROR_CODES } from '../errors.ts'
import { builder } from './builder.ts'

builder.enumType('ErrorCode', {
  description: `The values of \`errors[].extensions.code\`; no field returns it, it stands here for code generators.
Other keys of extensions: \`field\` (path of the bad input, BAD_USER_INPUT), \`retryAfter\` (seconds),
\`limit\`, \`remaining\`, \`resetAt\` (RATE_LIMITED), \`requestId\` (INTERNAL_SERVER_ERROR).`,
  values: Object.fromEntries(Object.entries(ERROR_CODES).map(([code, description]) => [code, { description }])),
})
