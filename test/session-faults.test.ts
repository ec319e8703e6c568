import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { ReasonCode } from '../src/connection/state.ts'
import type { LoginFault, OpeningFault } from './fake-whatsapp/faults.ts'
import { createNumber, type Stage, startStage, until } from './whatsapp.ts'

let stage: Stage
beforeAll(async () => {
  stage = await startStage({ timings: { login: 1_500 } })
})
afterAll(() => stage.close())

const rowOf = (id: string) =>
  stage.gateway.services.db.selectFrom('instances').selectAll().where('id', '=', id).executeTakeFirstOrThrow()

const hasCreds = async (id: string) =>
  (await stage.gateway.services.db
    .selectFrom('auth_creds')
    .select('instance_id')
    .where('instance_id', '=', id)
    .executeTakeFirst()) !== undefined

/** The log lines about an instance's connection, as "state reason". */
const told = (id: string) =>
  stage.gateway.log
    .filter(({ msg, instanceId }) => msg === 'connection changed' && instanceId === id)
    .map(({ state, reason }) => `${state as string} ${(reason as string | undefined) ?? ''}`.trim())

describe('a session that another one owns by now', () => {
  const refusedWrites = () => stage.gateway.services.sessions.counts.refusedWrites
  const written = () => stage.gateway.statements.filter((sql) => /auth_|update "instances"/.test(sql)).length
  /** Waits until what comes with a login is written, too. */
  const hasWrittenAll = async () => {
    let before = -1
    while (before !== (before = written())) await sleep(500)
  }
  const lose = async () => {
    const number = await createNumber(stage)
    await number.link()
    await hasWrittenAll()
    await stage.gateway.services.db
      .updateTable('session_owners')
      .set((eb) => ({ epoch: eb('epoch', '+', '1') }))
      .where('instance_id', '=', number.instance.id)
      .execute()
    return number
  }
  const isLetGo = ({ instance }: Awaited<ReturnType<typeof lose>>) =>
    until(
      () => stage.gateway.services.sessions.runs(instance.id),
      (runs) => !runs,
    )

  test('is without a link before the next one of this process is opened', async () => {
    const number = await lose()
    // Nobody answers the end of the link, which takes half a second then.
    number.phone.hang()
    const startedAt = performance.now()
    await number.reconnect()
    await number.reaches('connected')
    expect(performance.now() - startedAt).toBeGreaterThan(500)
  })

  test('is let go when WhatsApp has another link, and no write was refused for that', async () => {
    const before = refusedWrites()
    const number = await lose()
    number.phone.replace()
    await isLetGo(number)
    expect(refusedWrites()).toBe(before)
  })

  test('is let go when a write is refused', async () => {
    const before = refusedWrites()
    const number = await lose()
    await number.phone.rename('Another name')
    await isLetGo(number)
    expect(refusedWrites()).toBe(before + 1)
  })
})

describe('a link that WhatsApp ends', () => {
  test.each<[string, (number: Awaited<ReturnType<typeof createNumber>>) => void, ReasonCode, number | null]>([
    ['by a reset', ({ phone }) => phone.drop(), 'CONNECTION_LOST', 428],
    ['without a word', ({ phone }) => phone.closeCleanly(), 'CONNECTION_LOST', 428],
    ['by the end of the stream', ({ phone }) => phone.endStream(), 'CONNECTION_LOST', 428],
    ['because it is unavailable', ({ phone }) => phone.streamError({ code: 503 }), 'WHATSAPP_UNAVAILABLE', 503],
    ['for a session that it does not like', ({ phone }) => phone.streamError(), 'BAD_SESSION', 500],
    ['with a code that nobody knows', ({ phone }) => phone.streamError({ code: 499 }), 'UNKNOWN', 499],
    ['with a frame that cannot be decrypted', ({ phone }) => phone.sendGarbage(), 'UNKNOWN', null],
  ])('%s is opened again', async (_how, end, code, whatsappCode) => {
    const number = await createNumber(stage)
    await number.link()
    end(number)
    const status = await number.reaches('connecting', code)
    expect(status.reason).toMatchObject({ whatsappCode, nextStep: 'WAIT' })
    expect(status.reason?.retryAt?.getTime()).toBeGreaterThan(Date.now() - 1_000)
    if (code === 'UNKNOWN' && whatsappCode) return
    await number.reaches('connected')
    expect(await hasCreds(number.instance.id)).toBe(true)
  })

  test.each<[string, (number: Awaited<ReturnType<typeof createNumber>>) => void, ReasonCode, number, string]>([
    ['for a ban', ({ phone }) => phone.streamError({ code: 403 }), 'BANNED', 403, 'NONE'],
    ['for its version', ({ phone }) => phone.streamError({ code: 405 }), 'CLIENT_OUTDATED', 405, 'OPERATOR'],
    ['for the phone', ({ phone }) => phone.downgrade(), 'MULTIDEVICE_MISMATCH', 411, 'PAIR'],
  ])('%s stays closed, says so, and keeps its pairing', async (_why, end, code, whatsappCode, nextStep) => {
    const number = await createNumber(stage)
    await number.link()
    const logins = stage.whatsapp.all('login', { number: number.phone.number }).length
    end(number)
    const status = await number.reaches('disconnected', code)
    expect(status.reason).toMatchObject({ whatsappCode, nextStep, retryAt: null })
    expect(status.desiredState).toBe('connected')
    await until(
      () => rowOf(number.instance.id),
      (row) => row.stop_reason === code,
    )
    expect(await hasCreds(number.instance.id)).toBe(true)
    expect(stage.whatsapp.all('login', { number: number.phone.number })).toHaveLength(logins)

    await number.reconnect()
    await number.reaches('connected')
    expect(await rowOf(number.instance.id)).toMatchObject({ stop_reason: null, stopped_at: null })
  })

  test('for another login is opened once more, because it is ours, and then stays closed', async () => {
    const number = await createNumber(stage)
    await number.link()
    const logins = () => stage.whatsapp.all('login', { number: number.phone.number }).length
    const before = logins()
    number.phone.replace()
    const status = await number.reaches('connecting', 'REPLACED')
    expect(status.reason).toMatchObject({ whatsappCode: 440, nextStep: 'WAIT' })
    await number.reaches('connected')
    expect(logins()).toBe(before + 1)

    number.phone.replace()
    await number.reaches('disconnected', 'REPLACED')
    await until(
      () => rowOf(number.instance.id),
      (row) => row.stop_reason === 'REPLACED' && row.stop_whatsapp_code === 440,
    )
    expect(number.status()).toMatchObject({ desiredState: 'connected', reason: { nextStep: 'CONNECT', retryAt: null } })
    expect(await hasCreds(number.instance.id)).toBe(true)
    expect(logins()).toBe(before + 1)
    await number.reconnect()
    await number.reaches('connected')
  })

  test('for a restart is opened again at once, which is no failure', async () => {
    const number = await createNumber(stage)
    await number.link()
    const before = told(number.instance.id).length
    number.phone.streamError({ code: 515 })
    await until(
      () => told(number.instance.id).slice(before),
      (lines) => lines.at(-1) === 'connected',
    )
    expect(told(number.instance.id).slice(before)).toEqual(['connecting RESTARTING', 'connected'])
  })
})

describe('an opening that', () => {
  test.each<[string, OpeningFault, ReasonCode, number | null]>([
    ['is reset', { kind: 'reset' }, 'CONNECTION_LOST', 408],
    ['is answered by 503', { kind: 'http', status: 503 }, 'WHATSAPP_UNAVAILABLE', 503],
    ['is answered by 401, which is no logout', { kind: 'http', status: 401 }, 'WHATSAPP_UNAVAILABLE', 401],
    ['is answered by a redirect', { kind: 'http', status: 302 }, 'WHATSAPP_UNAVAILABLE', 302],
    ['has its hello not answered', { kind: 'no-hello' }, 'WHATSAPP_UNAVAILABLE', null],
    ['has its upgrade not answered', { kind: 'no-upgrade' }, 'WHATSAPP_UNAVAILABLE', null],
    ['has its login not answered', { kind: 'no-login' }, 'WHATSAPP_UNAVAILABLE', null],
    ['is refused by 503', { kind: 'failure', reason: 503 }, 'WHATSAPP_UNAVAILABLE', 503],
    ['is answered by garbage', { kind: 'garbage' }, 'UNKNOWN', null],
  ])('%s is tried again', async (_how, fault, code, whatsappCode) => {
    const number = await createNumber(stage)
    await number.link()
    await number.disconnect()
    stage.whatsapp.fail(fault, 1)
    await number.connect()
    // The pause before the next try may be shorter than a look.
    const told = await until(
      () => stage.gateway.log.find((line) => line.instanceId === number.instance.id && line.reason === code),
      (line) => line !== undefined,
    )
    expect(told).toMatchObject({ state: 'connecting', ...(whatsappCode && { whatsappCode }) })
    expect(told?.retryAt).toBeDefined()
    await number.reaches('connected')
    expect(await hasCreds(number.instance.id)).toBe(true)
  })

  test.each<[LoginFault, ReasonCode]>([
    [{ kind: 'failure', reason: 403 }, 'BANNED'],
    [{ kind: 'failure', reason: 405 }, 'CLIENT_OUTDATED'],
    [{ kind: 'downgrade' }, 'MULTIDEVICE_MISMATCH'],
  ])('is refused by %o stops there', async (fault, code) => {
    const number = await createNumber(stage)
    await number.link()
    await number.disconnect()
    number.phone.fail(fault)
    await number.connect()
    await number.reaches('disconnected', code)
    expect(await hasCreds(number.instance.id)).toBe(true)
    number.phone.heal()
    await number.connect()
    await number.reaches('connected')
  })

  test('finds a server that does not identify itself stops there', async () => {
    const number = await createNumber(stage)
    await number.link()
    await number.disconnect()
    stage.whatsapp.fail({ kind: 'bad-certificate' }, 1)
    await number.connect()
    await number.reaches('disconnected', 'SERVER_REFUSED')
  })

  test('finds nobody is tried again until somebody is there, and the log says what was found', async () => {
    const lonely = await startStage()
    try {
      const number = await createNumber(lonely)
      await number.link()
      lonely.whatsapp.refuse()
      lonely.whatsapp.dropAll()
      await number.reaches('connecting', 'CONNECTION_LOST')
      await until(
        () => lonely.gateway.log.filter(({ reason }) => reason === 'CONNECTION_LOST').length,
        (tries) => tries >= 2,
      )
      const causes = lonely.gateway.log.filter(({ msg }) => msg === 'the link has ended').map(({ cause }) => cause)
      expect(causes).toContainEqual(expect.stringContaining('ECONNREFUSED'))
      await lonely.whatsapp.accept()
      await number.reaches('connected')
    } finally {
      await lonely.close()
    }
  })

  test('fails while pairing is tried again a few times, and then no more', async () => {
    const number = await createNumber(stage)
    stage.whatsapp.fail({ kind: 'http', status: 503 })
    await number.connect()
    await number.reaches('disconnected', 'WHATSAPP_UNAVAILABLE', 40_000)
    stage.whatsapp.heal()
    await number.link()
  })
})

describe('a network that vanishes', () => {
  test('is noticed by the silence, on the watch or when somebody looks, and never shown as connected after', async () => {
    const quiet = await startStage({ timings: { silence: 1_500 } })
    try {
      const number = await createNumber(quiet)
      await number.link()
      number.phone.hang()
      const status = await number.reaches('connecting', 'SILENT', 4_000)
      expect(status.observedAt).toBeNull()
      await number.reaches('connected')
    } finally {
      await quiet.close()
    }
  })

  test('does not hold up a disconnect', async () => {
    const number = await createNumber(stage)
    await number.link()
    number.phone.hang()
    const startedAt = performance.now()
    expect(await number.disconnect()).toBe('DISCONNECTED')
    expect(performance.now() - startedAt).toBeLessThan(3_000)
  })
})

test('queries that are never answered delay nothing', async () => {
  const number = await createNumber(stage, { pictureUrl: 'https://pps.example.com/me.jpg' })
  number.phone.mute('w:profile:picture')
  number.phone.mute('w:biz')
  await number.link()
  const startedAt = performance.now()
  expect(await number.disconnect()).toBe('DISCONNECTED')
  expect(performance.now() - startedAt).toBeLessThan(3_000)
})

test('each change is logged once, with its reason and without a code or a key', async () => {
  const number = await createNumber(stage)
  await number.connect()
  const { value } = await number.offers('qr')
  await number.phone.scan(value)
  await number.reaches('connected')
  await number.disconnect()
  expect(told(number.instance.id)).toEqual([
    'connecting OPENING',
    'connecting AWAITING_PAIRING',
    'connecting RESTARTING',
    'connected',
    'disconnected STOPPED',
  ])
  const text = JSON.stringify(stage.gateway.log)
  const keys = value.split(',').filter((part) => part.length > 20)
  expect(keys.length).toBeGreaterThan(2)
  for (const key of keys) expect(text).not.toContain(key)
})
