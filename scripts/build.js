// Bundles the gateway and the operator commands into dist/.
//   node scripts/build.js            builds when a source is newer than the last build
//   node scripts/build.js --watch    builds, runs the gateway, and does both again on every change
//   node scripts/build.js ENTRY.ts   builds one more entry (a development script) as well
import { spawn } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build, context } from 'esbuild'

const root = join(dirname(fileURLToPath(import.meta.url)), '..')
const dist = join(root, 'dist')
const stamp = join(dist, '.built')
const sources = ['src', 'migrations', 'scripts', 'bench', 'package-lock.json']

const options = (outdir, entryPoints) => ({
  absWorkingDir: root,
  entryPoints,
  outdir,
  entryNames: '[name]',
  bundle: true,
  splitting: true,
  format: 'esm',
  platform: 'node',
  target: 'node20',
  sourcemap: true,
  sourcesContent: false,
  logLevel: 'warning',
  legalComments: 'none',
  // PGlite loads data files that lie beside it; Baileys looks for optional packages; kysely-codegen is a development tool.
  external: ['@electric-sql/pglite', '@whiskeysockets/baileys', 'kysely-codegen', 'pg-native'],
  // CommonJS packages inside an ES module bundle still call require.
  banner: {
    js: "import { createRequire as bundleRequire } from 'node:module'; const require = bundleRequire(import.meta.url);",
  },
})

const entries = (extra) => ['src/main.ts', 'src/cli.ts', ...extra]

const newest = (path) => {
  const stat = statSync(path)
  if (!stat.isDirectory()) return stat.mtimeMs
  return Math.max(stat.mtimeMs, ...readdirSync(path).map((name) => newest(join(path, name))))
}

const identity = (extra) => JSON.stringify({ node: process.version, entries: entries(extra) })

const isFresh = (extra) =>
  existsSync(stamp) &&
  readFileSync(stamp, 'utf8') === identity(extra) &&
  sources.every((source) => newest(join(root, source)) < statSync(stamp).mtimeMs)

const isChunk = (name) => name.startsWith('chunk-')

// Built aside and moved in file by file, entry points last: a gateway or command that starts meanwhile never reads half a file.
const buildInto = async (extra) => {
  const aside = join(root, `dist.${process.pid}`)
  try {
    await build(options(aside, entries(extra)))
    mkdirSync(dist, { recursive: true })
    const files = readdirSync(aside).sort((a, b) => Number(isChunk(b)) - Number(isChunk(a)))
    for (const file of files) renameSync(join(aside, file), join(dist, file))
    writeFileSync(stamp, identity(extra))
  } finally {
    rmSync(aside, { recursive: true, force: true })
  }
}

const watch = async () => {
  await buildInto([])
  const watching = await context(options(dist, entries([])))
  await watching.watch()
  const gateway = spawn(
    process.execPath,
    ['--watch', '--enable-source-maps', relative(process.cwd(), join(dist, 'main.js'))],
    { stdio: 'inherit' },
  )
  const stop = () => gateway.kill('SIGTERM')
  process.once('SIGINT', stop)
  process.once('SIGTERM', stop)
  gateway.once('exit', () => watching.dispose())
}

const args = process.argv.slice(2)
if (args[0] === '--watch') await watch()
else if (!isFresh(args)) await buildInto(args)
