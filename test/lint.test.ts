import { execFile } from 'node:child_process'
import { copyFileSync, mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { promisify } from 'node:util'
import { onTestFinished, test, expect } from 'vitest'
import { createTempDir } from './testkit.ts'

/** Imports against the direction, and the environment read where it may not be. */
const PLANTED: Record<string, string> = {
  'src/errors.ts': "import './uuid.ts'",
  'src/config.ts': "import './services.ts'",
  'src/db/planted.ts': "import '../rest/errors.ts'",
  'src/instance/queries.ts': "import '../rate-limit.ts'",
  'src/instance/actions.ts': "import './type.ts'",
  'src/instance/mutations.ts': "import '../rest/errors.ts'",
  'src/connection/subscription.ts': "import '../rest/list.ts'",
  'src/connection/planted.ts': "import './type.ts'",
  'src/pull.ts': "import './uuid.ts'",
  'src/sealing/planted.ts': "import '../graphql/builder.ts'",
  'src/session/planted.ts': "import '../graphql/builder.ts'",
  'src/token/planted.ts': "import '../rest/errors.ts'",
  'src/operator/planted.ts': "import '../app.ts'",
  'src/rest/planted.ts': "import '../graphql/limits.ts'",
  'src/graphql/planted.ts': "import '../rest/list.ts'",
  'src/integration/proxy.ts': "import '../rest/list.ts'",
  'src/app.ts': "import './instance/queries.ts'",
  'src/planted.ts': 'export const home = process.env.HOME',
}

test('the linter refuses every import against the direction, and the environment outside of config', async () => {
  const folder = createTempDir()
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
  copyFileSync('.oxlintrc.json', join(folder, '.oxlintrc.json'))
  for (const [file, text] of Object.entries(PLANTED)) {
    mkdirSync(dirname(join(folder, file)), { recursive: true })
    writeFileSync(join(folder, file), `${text}\n`)
  }
  const { stdout } = await promisify(execFile)(resolve('node_modules/.bin/oxlint'), ['--format', 'json', 'src'], {
    cwd: folder,
  }).catch((failure) => failure)
  const { diagnostics } = JSON.parse(stdout) as { diagnostics: { code: string; filename: string }[] }
  const refused = diagnostics.filter(({ code }) => /restricted-imports|no-process-env/.test(code))
  expect(new Set(refused.map(({ filename }) => filename))).toEqual(new Set(Object.keys(PLANTED)))
})
