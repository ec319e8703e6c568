import { expect, test } from 'vitest'
import type { ConnectionStatus } from '../src/connection/state.ts'
import { bytesOf } from '../src/http/bytes.ts'
import { WrittenSelection } from '../src/read-model/instance-record.ts'

const STATUS = {} as ConnectionStatus

test.each([
  ['is written once for a status', 900, 1],
  ['that is longer than what is counted for it is not kept', 1_001, 2],
])('what is said of a connection %s', (_what, length, times) => {
  const selection = new WrittenSelection([bytesOf('{'), bytesOf('}')])
  let written = 0
  const write = () => {
    written++
    return ['x'.repeat(length)]
  }
  const texts = [selection.connections(STATUS, write), selection.connections(STATUS, write)]
  expect(texts).toEqual([['x'.repeat(length)], ['x'.repeat(length)]])
  expect(written).toBe(times)
  selection.connections({ ...STATUS }, write)
  expect(written).toBe(times + 1)
})
