import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'

const bundles = new Map<string, Promise<string>>()

/** A program of the tests as one file that Node can run. Made once per run of a test file, and gone with the process. */
export function bundle(entry: string): Promise<string> {
  const made = bundles.get(entry) ?? make(entry)
  bundles.set(entry, made)
  return made
}

async function make(entry: string): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), 'switchboard-bundle-'))
  process.once('exit', () => rmSync(folder, { recursive: true, force: true }))
  const outfile = join(folder, 'main.mjs')
  await build({
    entryPoints: [fileURLToPath(new URL(entry, import.meta.url))],
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
