import { defineConfig } from 'vitest/config'

export default defineConfig({
  // Otherwise our files get graphql's ES modules and libraries its CommonJS ones: two GraphQLError classes.
  resolve: { alias: [{ find: /^graphql$/, replacement: 'graphql/index.js' }] },
  test: {
    include: ['test/**/*.test.ts'],
    globalSetup: 'test/global-setup.ts',
    setupFiles: 'test/patience.ts',
    expect: { poll: { timeout: 20_000 } },
    // Half of the time is spent waiting for processes of the tests' own.
    maxWorkers: 2,
    testTimeout: 60_000,
    hookTimeout: 120_000,
    coverage: { include: ['src/**'], exclude: ['src/db/types.ts'] },
  },
})
