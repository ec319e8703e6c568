import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'
import { onTestFinished } from 'vitest'
import { type Exit, startChildForTest } from './child.ts'
import type { Operation } from './fake-whatsapp/control.ts'

export type FakeProcess = {
  url: string
  port: number
  pid: number
  /** Gives an order: a method of the fake, or one of a phone with its number as the first argument. */
  call<Result = unknown>(operation: Operation, ...args: unknown[]): Promise<Result>
  /** Asks it to end, and waits until it has. */
  stop(): Promise<Exit>
  kill(): Promise<void>
}

let bundling: Promise<string> | undefined

/** Once per run of a test file; the bundle is gone with the process. */
async function bundle(): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), 'switchboard-fake-'))
  process.once('exit', () => rmSync(folder, { recursive: true, force: true }))
  const outfile = join(folder, 'fake-whatsapp.mjs')
  await build({
    entryPoints: [fileURLToPath(new URL('fake-whatsapp/standalone.ts', import.meta.url))],
    outfile,
    bundle: true,
    format: 'esm',
    platform: 'node',
    target: 'node20',
    logLevel: 'warning',
    // CommonJS packages inside an ES module bundle still call require.
    banner: {
      js: "import { createRequire as bundleRequire } from 'node:module'; const require = bundleRequire(import.meta.url);",
    },
  })
  return outfile
}

/** A fake WhatsApp in a process of its own, ended with the test; see standalone.ts for its arguments. */
export async function startFakeProcessForTest(...args: string[]): Promise<FakeProcess> {
  bundling ??= bundle()
  const folder = mkdtempSync(join(tmpdir(), 'switchboard-fake-'))
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
  const child = startChildForTest([process.execPath, await bundling, ...args], { DATA_DIR: folder })
  const [line] = await child.prints(/^\{.*\}$/m)
  const { url, port, pid, controlUrl } = JSON.parse(line) as Record<'url' | 'controlUrl', string> &
    Record<'port' | 'pid', number>

  return {
    url,
    port,
    pid,
    stop: () => {
      child.signal('SIGTERM')
      return child.exited
    },
    kill: child.kill,
    call: async <Result>(operation: Operation, ...args: unknown[]) => {
      const response = await fetch(controlUrl, { method: 'POST', body: JSON.stringify({ op: operation, args }) })
      const answer = (await response.json()) as { error?: string }
      if (!response.ok) throw new Error(`${operation}: ${answer.error}`)
      return answer as Result
    },
  }
}
