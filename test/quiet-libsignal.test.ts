import { randomBytes } from 'node:crypto'
import { SessionRecord } from 'libsignal'
import { expect, test, vi } from 'vitest'
import { loadBaileys } from '../src/session/baileys.ts'

const METHODS = ['debug', 'log', 'info', 'warn', 'error'] as const

/** The parts of a record that its types leave out. */
type Entry = { currentRatchet: object; indexInfo: { closed: number } }
type Sessions = { closeSession(entry: Entry): void; openSession(entry: Entry): void }

test('libsignal prints no session, and everybody else prints as before', async () => {
  const spies = METHODS.map((method) => vi.spyOn(console, method).mockImplementation(() => {}))
  const printed = () => spies.flatMap((spy) => spy.mock.calls)
  const { createEntry } = SessionRecord as unknown as { createEntry(): Entry }
  const record = new SessionRecord() as unknown as Sessions
  const entry = Object.assign(createEntry(), {
    currentRatchet: { ephemeralKeyPair: { privKey: randomBytes(32) } },
    indexInfo: { closed: -1 },
  })
  record.closeSession(entry)
  expect(printed()).toEqual([['Closing session:', entry]])
  for (const spy of spies) spy.mockClear()

  await loadBaileys()
  await loadBaileys()
  record.openSession(entry)
  record.openSession(entry)
  record.closeSession(entry)
  record.closeSession(entry)
  expect(entry.indexInfo.closed).toBeGreaterThan(0)
  expect(printed()).toEqual([])

  for (const method of METHODS) console[method]('Closing session:', method)
  expect(printed()).toEqual(METHODS.map((method) => ['Closing session:', method]))
})
