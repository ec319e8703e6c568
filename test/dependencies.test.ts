import { readdirSync, readFileSync } from 'node:fs'
import { expect, test } from 'vitest'

/** Packages that a file needs when it runs: not those of which it has the types alone. */
const packagesOf = (file: string): string[] =>
  [...readFileSync(file, 'utf8').matchAll(/^import (?!type )[^']*'([^'.][^']*)'|import\('([^'.][^']*)'\)/gm)]
    .map(([, imported, loaded]) => imported ?? loaded ?? '')
    .filter((specifier) => !specifier.startsWith('node:'))
    .map((specifier) => /^(@[^/]+\/)?[^/]+/.exec(specifier)?.[0] ?? '')

const sourcesIn = (folder: string): string[] =>
  readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts'))
    .map((name) => `${folder}/${name}`)

test('npm start needs nothing that npm leaves out with NODE_ENV=production', () => {
  const { dependencies } = JSON.parse(readFileSync('package.json', 'utf8')) as { dependencies: Record<string, string> }
  const needed = ['scripts/build.js', ...sourcesIn('src'), ...sourcesIn('migrations')].flatMap(packagesOf)
  expect(needed).toEqual(expect.arrayContaining(['esbuild', 'graphql', 'pg']))
  expect([...new Set(needed)].filter((name) => !(name in dependencies))).toEqual([])
})
