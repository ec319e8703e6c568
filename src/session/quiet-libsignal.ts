const METHODS = ['debug', 'log', 'info', 'warn', 'error'] as const

/** The file of a package, also where npm or another installer has nested it. */
const LIBSIGNAL = /[\\/]node_modules[\\/]libsignal[\\/]/

/** Where a function has been called, as a line of a stack. */
function callerOf(callee: (...args: never[]) => unknown): string {
  const limit = Error.stackTraceLimit
  Error.stackTraceLimit = 1
  const trace: { stack?: string } = {}
  Error.captureStackTrace(trace, callee)
  const { stack = '' } = trace
  Error.stackTraceLimit = limit
  return stack
}

let isQuiet = false

/**
 * libsignal, which Baileys encrypts with, prints whole sessions to the console, private keys and all, and offers
 * neither a switch nor a logger. It is known by where its lines come from, not by what they say: a line that it does
 * not have today is kept away as well. What Baileys needs to know of them it gets as errors.
 */
export function quietLibsignal(): void {
  if (isQuiet) return
  isQuiet = true
  for (const method of METHODS) {
    const print = console[method]
    const printUnlessLibsignal = (...args: unknown[]): void => {
      if (!LIBSIGNAL.test(callerOf(printUnlessLibsignal))) print.apply(console, args)
    }
    console[method] = printUnlessLibsignal
  }
}
