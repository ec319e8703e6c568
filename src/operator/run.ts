import { GatewayError } from '../errors.ts'
import { type CommandInput, type CommandOutput, type CommandTools, findCommand } from './commands.ts'
import type { Follower } from './step.ts'

/** A command as it travels from the terminal to whoever holds the database. */
export type CommandRequest = CommandInput & { name: string }

export type CommandResult = { output: CommandOutput } | { error: { code: string; message: string } }

/** Runs a command and answers with its output, or with the error that it was refused with. Other failures are thrown. */
export async function runCommand(
  tools: CommandTools,
  { name, ...input }: CommandRequest,
  follower: Follower,
): Promise<CommandResult> {
  const command = findCommand(name)
  if (!command) return { error: { code: 'BAD_USER_INPUT', message: `There is no command "${name}"` } }
  try {
    return { output: await command.run(tools, input, follower) }
  } catch (error) {
    if (error instanceof GatewayError) return { error: { code: error.code, message: error.message } }
    throw error
  }
}
