import { COMMANDS, findCommand } from './commands.ts'

const OPTION_VALUES = { quota: 'N', token: 'T', phone: 'DIGITS' } as const

/** How each command is written. */
export const usageOf = (name: string): string => {
  const { args = [], options = [] } = findCommand(name) ?? {}
  return [name, ...args, ...options.map((option) => `[--${option} ${OPTION_VALUES[option]}]`)].join(' ')
}

/** What `cli` prints when it is asked for help, or for a command that does not exist. */
export function usage(): string {
  const lines = [
    ...Object.keys(COMMANDS).map((name) => [usageOf(name), findCommand(name)?.summary ?? '']),
    ['migrate', 'bring the database up to date'],
  ]
  const width = Math.max(...lines.map(([written = '']) => written.length))
  return [
    'Usage: npm run --silent cli -- COMMAND [--json]',
    '',
    ...lines.map(([written = '', summary = '']) => `  ${written.padEnd(width)}  ${summary}`),
    '',
    '--json prints one JSON object, {"error":{"code","message"}} on failure. The exit code is 0 or, on failure, 1.',
  ].join('\n')
}
