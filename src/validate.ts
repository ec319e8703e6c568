import type { z } from 'zod'
import { badUserInput } from './errors.ts'

/**
 * The value as a rule reads it.
 * @param path where the value stands in the user's input, e.g. `input.config`
 * @throws GatewayError BAD_USER_INPUT for the first value that is refused, with its path
 */
export function validate<Rule extends z.ZodType>(rule: Rule, value: unknown, path: string): z.infer<Rule> {
  const parsed = rule.safeParse(value)
  if (parsed.success) return parsed.data
  const [issue] = parsed.error.issues
  const field = [path, ...(issue?.path ?? [])].join('.')
  throw badUserInput(field, `${field} ${issue?.message ?? 'cannot be used'}`)
}
