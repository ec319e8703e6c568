import type { CommandOutput } from './commands.ts'
import type { CommandStep } from './step.ts'

/** A command's output for people: a list as a table, an object as a line per key. */
export function formatOutput(output: CommandOutput): string {
  const [list] = Object.values(output)
  if (Array.isArray(list)) return formatTable(list)
  return Object.entries(output)
    .map(([key, value]) => `${key}: ${formatValue(value)}`)
    .join('\n')
}

function formatTable(rows: readonly (CommandOutput | string)[]): string {
  const [first] = rows
  if (first === undefined) return '(none)'
  if (typeof first === 'string') return rows.join('\n')
  const table = [Object.keys(first), ...rows.map((row) => Object.values(row).map(formatValue))]
  const widths = Object.keys(first).map((_key, column) => Math.max(...table.map((cells) => cells[column]?.length ?? 0)))
  return table
    .map((cells) =>
      cells
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n')
}

const formatValue = (value: unknown): string =>
  value === null || value === undefined ? '-' : value instanceof Date ? value.toISOString() : String(value)

/** What a person sees while a command is under way. A QR is drawn for the terminal. */
export async function formatStep(step: CommandStep): Promise<string> {
  switch (step.kind) {
    case 'state':
    case 'database made':
      return step.message
    case 'code':
      return `On the phone: Linked devices, Link with phone number instead, and type  ${step.code.slice(0, 4)}-${step.code.slice(4)}`
    case 'qr': {
      const { toString } = (await import('qrcode')).default
      const drawn = await toString(step.value, { type: 'terminal', small: true, errorCorrectionLevel: 'L' })
      return `On the phone: Linked devices, Link a device, and scan (until ${step.expiresAt}):\n\n${drawn}`
    }
  }
}
