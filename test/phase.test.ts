import { describe, expect, test } from 'vitest'
import { reasonOf } from '../src/connection/reasons.ts'
import { statusAtRest } from '../src/connection/rest.ts'
import { type ConnectionFacts, STOP_REASONS } from '../src/connection/state.ts'
import { describePhase, type Live, type Phase } from '../src/session/phase.ts'

const at = (minute: number) => new Date(Date.UTC(2026, 0, 1, 12, minute))
const CREATED = at(0)
const PAIRED = at(10)
const STARTED = at(20)
const SINCE = at(30)
const HEARD = at(31)
const RETRY = at(32)

const NEW: ConnectionFacts = {
  desiredState: 'disconnected',
  numberJid: null,
  createdAt: CREATED,
  pairedAt: null,
  loggedOutAt: null,
  stopReason: null,
  stopWhatsappCode: null,
  stoppedAt: null,
}
const LINKED: ConnectionFacts = {
  ...NEW,
  desiredState: 'connected',
  numberJid: '15550001@s.whatsapp.net',
  pairedAt: PAIRED,
}
const live: Live = { since: SINCE, observedAt: HEARD, isOnline: true, sequence: 7 }

const describeLinked = (phase: Phase, beside: Partial<Live> = {}) =>
  describePhase(phase, LINKED, { ...live, ...beside })

test('an instance at rest has the same status while nothing has changed, and another one afterwards', () => {
  const status = statusAtRest(LINKED, STARTED, 7)
  expect(statusAtRest(LINKED, STARTED, 7)).toBe(status)
  expect(statusAtRest(LINKED, STARTED, 8)).toMatchObject({ sequence: 8 })
  expect(statusAtRest(LINKED, at(21), 8)).toMatchObject({ since: at(21) })
  expect(statusAtRest({ ...LINKED, desiredState: 'disconnected' }, at(21), 8)).toMatchObject({
    reason: { code: 'STOPPED' },
  })
})

describe('a phase is shown', () => {
  test.each([
    ['opening', 'connecting', 'Connecting', 'OPENING'],
    ['awaiting pairing', 'connecting', 'Waiting for QR scan', 'AWAITING_PAIRING'],
    ['restarting', 'connecting', 'Restarting after pairing', 'RESTARTING'],
  ] as const)('%s: %s, "%s", %s', (kind, state, displayStatus, code) => {
    expect(describeLinked({ kind })).toEqual({
      state,
      displayStatus,
      reason: reasonOf(code),
      presenceStatus: 'unavailable',
      desiredState: 'connected',
      numberJid: LINKED.numberJid,
      since: SINCE,
      observedAt: HEARD,
      sequence: 7,
    })
  })

  test('open: connected, without a reason, and with the presence that WhatsApp was told', () => {
    expect(describeLinked({ kind: 'open' })).toMatchObject({
      state: 'connected',
      displayStatus: 'Connected',
      reason: null,
      presenceStatus: 'available',
      observedAt: HEARD,
    })
    expect(describeLinked({ kind: 'open' }, { isOnline: false }).presenceStatus).toBe('unavailable')
  })

  test('retrying: connecting, with what went wrong and when the next try is due', () => {
    const phase: Phase = { kind: 'retrying', reason: 'WHATSAPP_UNAVAILABLE', whatsappCode: 503, retryAt: RETRY }
    expect(describeLinked(phase)).toMatchObject({
      state: 'connecting',
      displayStatus: 'Reconnecting',
      presenceStatus: 'unavailable',
      reason: { code: 'WHATSAPP_UNAVAILABLE', whatsappCode: 503, nextStep: 'WAIT', retryAt: RETRY },
    })
  })

  test('retrying through a proxy: somebody has to look at the proxy meanwhile', () => {
    const phase: Phase = { kind: 'retrying', reason: 'PROXY_FAILED', whatsappCode: null, retryAt: RETRY }
    expect(describeLinked(phase).reason).toMatchObject({ code: 'PROXY_FAILED', nextStep: 'FIX_PROXY', retryAt: RETRY })
  })

  test('resting after a failure: disconnected, with what it failed by, since then', () => {
    const phase: Phase = { kind: 'resting', failure: { reason: 'PAIRING_EXPIRED', whatsappCode: 408 } }
    expect(describePhase(phase, NEW, live)).toMatchObject({
      state: 'disconnected',
      displayStatus: 'Disconnected',
      since: SINCE,
      observedAt: null,
      reason: { code: 'PAIRING_EXPIRED', whatsappCode: 408, nextStep: 'PAIR', retryAt: null },
    })
  })

  test('resting without one: as the facts say', () => {
    const phase: Phase = { kind: 'resting', failure: null }
    expect(describeLinked(phase)).toEqual(statusAtRest(LINKED, SINCE, 7))
  })

  test('deleted: disconnected, whatever was before', () => {
    expect(describePhase({ kind: 'deleted' }, { ...LINKED, loggedOutAt: at(15) }, live)).toMatchObject({
      state: 'disconnected',
      displayStatus: 'Disconnected',
      since: SINCE,
      reason: { code: 'INSTANCE_DELETED', nextStep: 'NONE' },
    })
  })

  test('as connected when it is open, and never else', () => {
    const phases: Phase[] = [
      { kind: 'opening' },
      { kind: 'awaiting pairing' },
      { kind: 'restarting' },
      { kind: 'retrying', reason: 'SILENT', whatsappCode: null, retryAt: RETRY },
      { kind: 'resting', failure: null },
      { kind: 'deleted' },
    ]
    for (const phase of phases) {
      const { state, presenceStatus, reason } = describeLinked(phase)
      expect(state).not.toBe('connected')
      expect(presenceStatus).toBe('unavailable')
      expect(reason).not.toBeNull()
    }
  })
})

describe('at rest', () => {
  const rest = (facts: Partial<ConnectionFacts>) => statusAtRest({ ...LINKED, ...facts }, STARTED, 7)

  test('an instance that was never paired says so, since it was made', () => {
    expect(statusAtRest(NEW, STARTED, 7)).toMatchObject({
      state: 'disconnected',
      since: CREATED,
      reason: { code: 'NOT_PAIRED', nextStep: 'PAIR' },
    })
  })

  test('one that was logged out is logged out, whatever else there is to say', () => {
    const facts = { loggedOutAt: at(15), stopReason: 'BANNED', stopWhatsappCode: 403, stoppedAt: at(16) } as const
    expect(rest(facts)).toMatchObject({
      state: 'loggedout',
      displayStatus: 'Logged out',
      since: at(15),
      numberJid: LINKED.numberJid,
      reason: { code: 'LOGGED_OUT', nextStep: 'PAIR' },
    })
  })

  test('one that was stopped on request waits to be connected, since this process knows', () => {
    expect(rest({ desiredState: 'disconnected' })).toMatchObject({
      state: 'disconnected',
      since: STARTED,
      reason: { code: 'STOPPED', nextStep: 'CONNECT' },
    })
  })

  test('one that is wanted and has no session is not called connected', () => {
    expect(rest({})).toMatchObject({ state: 'disconnected', observedAt: null, reason: { code: 'UNKNOWN' } })
  })

  test('a pairing that is younger than the process is the beginning', () => {
    expect(rest({ pairedAt: at(25) }).since).toEqual(at(25))
  })

  test.each(STOP_REASONS)('one that was given up tells %s, since then', (stopReason) => {
    expect(rest({ stopReason, stopWhatsappCode: 499, stoppedAt: at(16) })).toMatchObject({
      state: 'disconnected',
      since: at(16),
      reason: { code: stopReason, whatsappCode: 499, retryAt: null },
    })
  })
})
