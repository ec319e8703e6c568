import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'
import { bundle } from './bundle.ts'
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

/** Longer than any order waits for something to happen. */
const ANSWERS_WITHIN_MS = 60_000

/** A fake WhatsApp in a process of its own, ended with the test; see standalone.ts for its arguments. */
export async function startFakeProcessForTest(...args: string[]): Promise<FakeProcess> {
  const folder = mkdtempSync(join(tmpdir(), 'switchboard-fake-'))
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
  const child = startChildForTest([process.execPath, await bundle('fake-whatsapp/standalone.ts'), ...args], {
    DATA_DIR: folder,
  })
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
      const response = await fetch(controlUrl, {
        method: 'POST',
        body: JSON.stringify({ op: operation, args }),
        signal: AbortSignal.timeout(ANSWERS_WITHIN_MS),
      })
      const answer = (await response.json()) as { error?: string }
      if (!response.ok) throw new Error(`${operation}: ${answer.error}`)
      return answer as Result
    },
  }
}
