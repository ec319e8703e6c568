import type { z } from 'zod'
import type { Context } from '../graphql/context.ts'
import { validate } from '../validate.ts'
import { type InstanceWrite, writeInstance } from './actions.ts'
import type { Instance, InstanceRef } from './queries.ts'

/** What a mutation that changes an instance is given. */
type Input = { instance: InstanceRef }

/**
 * The road of every mutation that changes an instance: write under its lock, then let the answer be read anew.
 * @throws GatewayError INSTANCE_NOT_FOUND, and what the write throws
 */
export async function configure<Result>(
  { services, viewer, loaders }: Context,
  input: Input,
  write: InstanceWrite<Result>,
  isChange?: (result: Result) => boolean,
): Promise<{ instance: Instance; result: Result }> {
  const written = await writeInstance(services.db, viewer, input.instance, write, isChange)
  loaders.forget()
  return written
}

/** The `config` of an input, checked by its rule. */
export const readConfigInput = <Rule extends z.ZodType>(rule: Rule, input: { config: unknown }): z.infer<Rule> =>
  validate(rule, input.config, 'input.config')
