import { mergeConfig } from 'vitest/config'
import config from '../vitest.config.ts'

// The figures of many nodes are taken of the clusters that the tests are made on, by the program that runs those.
export default mergeConfig(
  { ...config, test: { ...config.test, include: [] } },
  { test: { include: ['bench/nodes.ts'], testTimeout: 600_000, reporters: ['default'] } },
)
