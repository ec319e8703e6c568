import { describe, expect, test } from 'vitest'
import { type Close, decide, type History, type Verdict } from '../src/session/disconnect.ts'

const PAIRED: History = { isPaired: true, restarts: 0, badSessions: 0, failures: 0, replacements: 0 }
const UNPAIRED: History = { ...PAIRED, isPaired: false }

const told = (code: number): Close => ({ kind: 'told', code })
const transport = (code: number): Close => ({ kind: 'transport', code })

type Reason = Extract<Verdict, { kind: 'retry' }>['reason']
type Remembered = Extract<Verdict, { kind: 'stop' }>['remember']

const restart: Verdict = { kind: 'restart' }
const logOut: Verdict = { kind: 'log out', whatsappCode: 401 }
const retry = (reason: Reason, whatsappCode: number | null, pause: 'short' | 'long' = 'short'): Verdict => ({
  kind: 'retry',
  reason,
  whatsappCode,
  pause,
})
const stop = (reason: Reason, whatsappCode: number | null, remember: Remembered = null): Verdict => ({
  kind: 'stop',
  reason,
  whatsappCode,
  remember,
})

/** What the end of a link means: for a device that a phone has accepted, and while one is being paired. */
const TABLE: { when: string; close: Close; paired: Verdict; unpaired: Verdict }[] = [
  { when: 'a restart (515)', close: told(515), paired: restart, unpaired: restart },
  { when: 'a logout (401)', close: told(401), paired: logOut, unpaired: stop('PAIRING_FAILED', 401) },
  {
    when: 'a replacement (440)',
    close: told(440),
    paired: { kind: 'contest', reason: 'REPLACED', whatsappCode: 440 },
    unpaired: stop('REPLACED', 440),
  },
  { when: 'a ban (403)', close: told(403), paired: stop('BANNED', 403, 'BANNED'), unpaired: stop('BANNED', 403) },
  {
    when: 'an old client version (405)',
    close: told(405),
    paired: stop('CLIENT_OUTDATED', 405, 'CLIENT_OUTDATED'),
    unpaired: stop('CLIENT_OUTDATED', 405),
  },
  {
    when: 'a phone without multi-device (411)',
    close: told(411),
    paired: stop('MULTIDEVICE_MISMATCH', 411, 'MULTIDEVICE_MISMATCH'),
    unpaired: stop('MULTIDEVICE_MISMATCH', 411),
  },
  {
    when: 'a certificate that is not right (400)',
    close: told(400),
    paired: stop('SERVER_REFUSED', 400, 'SERVER_REFUSED'),
    unpaired: stop('SERVER_REFUSED', 400),
  },
  {
    when: 'a bad session (500)',
    close: told(500),
    paired: retry('BAD_SESSION', 500),
    unpaired: retry('BAD_SESSION', 500),
  },
  {
    when: 'WhatsApp out of service (503)',
    close: told(503),
    paired: retry('WHATSAPP_UNAVAILABLE', 503),
    unpaired: retry('WHATSAPP_UNAVAILABLE', 503),
  },
  {
    when: 'the end of the stream (428)',
    close: told(428),
    paired: retry('CONNECTION_LOST', 428),
    unpaired: retry('CONNECTION_LOST', 428),
  },
  {
    when: 'a timeout that WhatsApp told (408)',
    close: told(408),
    paired: retry('CONNECTION_LOST', 408),
    unpaired: stop('CONNECTION_LOST', 408),
  },
  ...[402, 406, 409, 501, 599].map((code) => ({
    when: `another code (${code})`,
    close: told(code),
    paired: retry('UNKNOWN', code, 'long'),
    unpaired: retry('UNKNOWN', code, 'long'),
  })),
  {
    when: 'a connection that was closed (428)',
    close: transport(428),
    paired: retry('CONNECTION_LOST', 428),
    unpaired: retry('CONNECTION_LOST', 428),
  },
  {
    when: 'a connection that could not be made (408)',
    close: transport(408),
    paired: retry('CONNECTION_LOST', 408),
    unpaired: stop('CONNECTION_LOST', 408),
  },
  {
    when: "a 401 that is the transport's and not WhatsApp's",
    close: transport(401),
    paired: retry('CONNECTION_LOST', 401),
    unpaired: retry('CONNECTION_LOST', 401),
  },
  {
    when: 'codes that nobody used (408)',
    close: { kind: 'codes used up' },
    paired: stop('PAIRING_EXPIRED', 408),
    unpaired: stop('PAIRING_EXPIRED', 408),
  },
  {
    when: 'a signature of the phone that does not fit',
    close: { kind: 'pairing refused' },
    paired: stop('PAIRING_FAILED', null),
    unpaired: stop('PAIRING_FAILED', null),
  },
  ...[401, 403, 407, 429, 503].map((status) => ({
    when: `an upgrade that is answered by HTTP ${status}`,
    close: { kind: 'http' as const, status },
    paired: retry('WHATSAPP_UNAVAILABLE', status),
    unpaired: retry('WHATSAPP_UNAVAILABLE', status),
  })),
  {
    when: 'a proxy',
    close: { kind: 'proxy' },
    paired: retry('PROXY_FAILED', null),
    unpaired: retry('PROXY_FAILED', null),
  },
  { when: 'silence', close: { kind: 'silent' }, paired: retry('SILENT', null), unpaired: retry('SILENT', null) },
  {
    when: 'a login that is not answered',
    close: { kind: 'login unanswered' },
    paired: retry('WHATSAPP_UNAVAILABLE', null),
    unpaired: retry('WHATSAPP_UNAVAILABLE', null),
  },
  {
    when: 'what cannot be read',
    close: { kind: 'broken' },
    paired: retry('UNKNOWN', null),
    unpaired: retry('UNKNOWN', null),
  },
]

describe('a link that ends by', () => {
  test.each(TABLE)('$when', ({ close, paired, unpaired }) => {
    expect(decide(close, PAIRED)).toEqual(paired)
    expect(decide(close, UNPAIRED)).toEqual(unpaired)
  })
})

describe('what is forgotten', () => {
  const everything = TABLE.map(({ close }) => close)

  test('is a pairing after the one code that ends it, and after nothing else', () => {
    const loggingOut = everything.filter((close) => decide(close, PAIRED).kind === 'log out')
    expect(loggingOut).toEqual([told(401)])
  })

  test('is never a device that no phone knows yet: nothing is remembered of it', () => {
    for (const close of everything) {
      const verdict = decide(close, UNPAIRED)
      expect(verdict.kind).not.toBe('log out')
      if (verdict.kind === 'stop') expect(verdict.remember).toBeNull()
    }
  })
})

describe('what is repeated', () => {
  const withPast = (past: Partial<History>, history = PAIRED): History => ({ ...history, ...past })

  test('restarts are done at once three times, and with pauses from then on', () => {
    const verdicts = [0, 1, 2, 3, 4].map((restarts) => decide(told(515), withPast({ restarts })))
    expect(verdicts).toEqual([restart, restart, restart, retry('UNKNOWN', 515), retry('UNKNOWN', 515)])
  })

  test('the fifth bad session in a row is the last', () => {
    const verdicts = [0, 1, 2, 3, 4].map((badSessions) => decide(told(500), withPast({ badSessions })))
    expect(verdicts.map(({ kind }) => kind)).toEqual(['retry', 'retry', 'retry', 'retry', 'stop'])
    expect(verdicts[4]).toEqual(stop('BAD_SESSION', 500, 'BAD_SESSION'))
  })

  test('an owner whose link is replaced a second time gives up', () => {
    const verdicts = [0, 1, 2].map((replacements) => decide(told(440), withPast({ replacements })))
    expect(verdicts.map(({ kind }) => kind)).toEqual(['contest', 'stop', 'stop'])
    expect(verdicts[1]).toEqual(stop('REPLACED', 440, 'REPLACED'))
  })

  test('a paired instance is tried for ever', () => {
    for (const close of [told(503), told(402), transport(408), { kind: 'silent' }, { kind: 'proxy' }] as Close[]) {
      expect(decide(close, withPast({ failures: 10_000 })).kind).toBe('retry')
    }
  })

  test('an attempt to pair is over with the fifth failure, whatever it is', () => {
    for (const close of [
      told(503),
      told(402),
      told(500),
      transport(428),
      { kind: 'silent' },
      { kind: 'proxy' },
    ] as Close[]) {
      const kinds = [0, 3, 4, 5].map((failures) => decide(close, withPast({ failures }, UNPAIRED)).kind)
      expect(kinds).toEqual(['retry', 'retry', 'stop', 'stop'])
    }
  })
})
