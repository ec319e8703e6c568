import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, onTestFinished } from 'vitest'

/** What is asked in place of the gateway's fence, as SQL; `instance` is a parameter of it. */
export type Fence = (fence: string, instance: string) => string

const FENCE = /exists \(select from session_owners where instance_id = (\$\{\w+\}) and epoch = (\$\{\w+\}) for share\)/g

/**
 * The built gateway, whose fence also tells the database's audit which epoch it was asked about: nothing else in the
 * statement knows it.
 */
export function buildAudited(fence: Fence = (present) => present): string {
  const folder = mkdtempSync(join('dist', 'audited-'))
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
  let patched = 0
  for (const name of readdirSync('dist').filter((file) => file.endsWith('.js'))) {
    const code = readFileSync(join('dist', name), 'utf8')
    const audited = code.replaceAll(FENCE, (present, instance: string, epoch: string) => {
      patched++
      return `(${fence(present, instance)} and set_config('audit.epoch', ${epoch}::bigint::text, true) is not null)`
    })
    writeFileSync(join(folder, name), audited)
  }
  expect(patched).toBeGreaterThan(0)
  return join(folder, 'main.js')
}
