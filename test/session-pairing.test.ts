import { sql } from 'kysely'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { PairingStep } from '../src/pairing/step.ts'
import { createNumber, type Stage, startStage, until } from './whatsapp.ts'

let stage: Stage
beforeAll(async () => {
  stage = await startStage({ fake: { references: 3 }, timings: {} })
})
afterAll(() => stage.close())

const credsOf = (id: string) =>
  stage.gateway.services.db.selectFrom('auth_creds').selectAll().where('instance_id', '=', id).executeTakeFirst()

const rowOf = (id: string) =>
  stage.gateway.services.db.selectFrom('instances').selectAll().where('id', '=', id).executeTakeFirstOrThrow()

/** Every step of an instance's pairing from now on. */
function stepsOf(id: string): PairingStep[] {
  const steps: PairingStep[] = []
  stage.gateway.services.sessions.pairingSteps.subscribe(id, (step) => steps.push(step))
  return steps
}

describe('by QR', () => {
  test('a phone that scans the code is connected after one restart', async () => {
    const number = await createNumber(stage)
    const steps = stepsOf(number.instance.id)
    expect(number.status()).toMatchObject({ state: 'disconnected', reason: { code: 'NOT_PAIRED', nextStep: 'PAIR' } })
    expect(number.status().observedAt).toBeNull()

    expect(await number.connect()).toBe('CONNECTING')
    const { value, ordinal, expiresAt } = await number.offers('qr')
    expect(ordinal).toBe(1)
    expect(expiresAt.getTime()).toBeGreaterThan(Date.now() + 50_000)
    expect(number.status()).toMatchObject({ state: 'connecting', reason: { code: 'AWAITING_PAIRING' } })

    await number.phone.scan(value)
    const status = await number.reaches('connected')
    expect(status).toMatchObject({
      numberJid: number.phone.jid,
      desiredState: 'connected',
      displayStatus: 'Connected',
      reason: null,
    })
    expect(steps.map(({ kind }) => kind)).toEqual(['qr', 'succeeded'])
    expect(steps.at(-1)).toEqual({ kind: 'succeeded', numberJid: number.phone.jid })
    expect(stage.gateway.services.sessions.pairingStepOf(number.instance.id)).toBeNull()
    expect(await rowOf(number.instance.id)).toMatchObject({
      number_jid: number.phone.jid,
      desired_state: 'connected',
      logged_out_at: null,
    })
  })

  test('nothing is kept before the phone has accepted, and everything is before it is told', async () => {
    const number = await createNumber(stage)
    await number.connect()
    const { value } = await number.offers('qr')
    expect(await credsOf(number.instance.id)).toBeUndefined()
    const told = until(
      () => stage.gateway.services.sessions.pairingStepOf(number.instance.id),
      (step) => step === null,
    )
    await number.phone.scan(value)
    await told
    expect(await credsOf(number.instance.id)).toBeDefined()
    await number.reaches('connected')
  })

  test('a second connect joins the first, and one of a connected instance does nothing', async () => {
    const number = await createNumber(stage)
    const before = stage.whatsapp.stats().counts.registration ?? 0
    await Promise.all([number.connect(), number.connect(), number.connect()])
    const { value } = await number.offers('qr')
    await number.connect()
    expect(stage.whatsapp.stats().counts.registration).toBe(before + 1)
    await number.phone.scan(value)
    const { sequence } = await number.reaches('connected')
    const logins = stage.whatsapp.all('login', { number: number.phone.number }).length
    expect(await number.connect()).toBe('CONNECTED')
    expect(number.status().sequence).toBeLessThan(sequence + 3)
    expect(stage.whatsapp.all('login', { number: number.phone.number })).toHaveLength(logins)
  })

  test('a disconnect ends the attempt, and says so', async () => {
    const number = await createNumber(stage)
    const steps = stepsOf(number.instance.id)
    await number.connect()
    await number.offers('qr')
    expect(await number.disconnect()).toBe('DISCONNECTED')
    expect(steps.at(-1)).toMatchObject({ kind: 'failed', reason: { code: 'STOPPED' } })
    expect(number.status()).toMatchObject({ desiredState: 'disconnected', reason: { code: 'NOT_PAIRED' } })
    expect(await credsOf(number.instance.id)).toBeUndefined()
  })

  test('a phone that refuses is told, and the next attempt begins anew', async () => {
    const number = await createNumber(stage)
    stage.whatsapp.fail({ kind: 'failure', reason: 401 }, 1)
    const steps = stepsOf(number.instance.id)
    await number.connect()
    await number.reaches('disconnected', 'PAIRING_FAILED')
    expect(steps).toMatchObject([{ kind: 'failed', reason: { code: 'PAIRING_FAILED', whatsappCode: 401 } }])
    await number.link()
  })
})

describe('by a code', () => {
  test('a phone on which the code is typed is connected', async () => {
    const number = await createNumber(stage)
    await number.connect(`, phoneNumber: "${number.phone.number}"`)
    const { code } = await number.offers('code')
    expect(code).toMatch(/^[A-Z0-9]{8}$/)
    await number.phone.enterCode(code)
    await number.reaches('connected')
  })

  test('it can be asked for while a QR is on offer', async () => {
    const number = await createNumber(stage)
    await number.connect()
    await number.offers('qr')
    await number.connect(`, phoneNumber: "${number.phone.number}"`)
    const { code } = await number.offers('code')
    await number.phone.enterCode(code)
    await number.reaches('connected')
  })

  test('a wrong code fails, and leaves nothing behind that a later attempt would log in with', async () => {
    const number = await createNumber(stage)
    await number.connect(`, phoneNumber: "${number.phone.number}"`)
    await number.offers('code')
    await expect(number.phone.enterCode('ZZZZZZZZ')).rejects.toThrow(/./)
    await number.reaches('disconnected', 'PAIRING_FAILED')
    expect(await credsOf(number.instance.id)).toBeUndefined()
    const refused = stage.whatsapp.all('refusedLogin').length
    await number.link()
    expect(stage.whatsapp.all('refusedLogin')).toHaveLength(refused)
  })

  test.each(['+4912345678', '12 34 56 78', '0123456789', '123', '1234567890123456', 'abc'])(
    'a number like %j is refused',
    async (phoneNumber) => {
      const number = await createNumber(stage)
      await expect(number.connect(`, phoneNumber: "${phoneNumber}"`)).rejects.toMatchObject({
        code: 'BAD_USER_INPUT',
        field: 'input.phoneNumber',
      })
      expect(number.status().desiredState).toBe('disconnected')
    },
  )
})

describe('logging out', () => {
  test('from here ends the pairing at WhatsApp and forgets it, so that the phone can be linked again', async () => {
    const number = await createNumber(stage)
    const { jid } = await number.link()
    expect(await number.logOut()).toBe('LOGGED_OUT')
    expect(await stage.whatsapp.seen('unlinked', { jid })).toMatchObject({ by: 'device' })
    expect(number.phone.devices.size).toBe(0)
    expect(await credsOf(number.instance.id)).toBeUndefined()
    expect(number.status()).toMatchObject({
      state: 'loggedout',
      desiredState: 'disconnected',
      numberJid: number.phone.jid,
      reason: { code: 'LOGGED_OUT', nextStep: 'PAIR' },
    })
    await number.link()
  })

  test('of an instance that is disconnected opens a link for it', async () => {
    const number = await createNumber(stage)
    await number.link()
    await number.disconnect()
    expect(await number.logOut()).toBe('LOGGED_OUT')
    expect(number.phone.devices.size).toBe(0)
  })

  test('keeps the pairing when WhatsApp cannot be told', async () => {
    const number = await createNumber(stage)
    await number.link()
    await number.disconnect()
    number.phone.fail({ kind: 'failure', reason: 503 })
    await expect(number.logOut()).rejects.toMatchObject({ code: 'SERVICE_UNAVAILABLE' })
    number.phone.heal()
    expect(await credsOf(number.instance.id)).toBeDefined()
    expect(number.status()).toMatchObject({ state: 'disconnected', reason: { code: 'STOPPED' } })
    await number.connect()
    await number.reaches('connected')
  })

  test('keeps the pairing when the network has vanished', { timeout: 40_000 }, async () => {
    const number = await createNumber(stage)
    await number.link()
    number.phone.hang()
    await expect(number.logOut()).rejects.toMatchObject({ code: 'SERVICE_UNAVAILABLE' })
    expect(await credsOf(number.instance.id)).toBeDefined()
    expect(number.phone.devices.size).toBe(1)
  })

  test('tells streams last that nothing is wanted any more', async () => {
    const number = await createNumber(stage)
    await number.link()
    let last = number.status()
    stage.gateway.services.sessions.connectionTicks.subscribe(stage.account.id, ({ instance }) => {
      if (instance.id === number.instance.id) last = number.status()
    })
    await number.logOut()
    expect(last).toMatchObject({ state: 'loggedout', desiredState: 'disconnected' })
    expect(last.sequence).toBe(number.status().sequence)
  })

  test('of an instance that was never paired is nothing', async () => {
    const number = await createNumber(stage)
    expect(await number.logOut()).toBe('DISCONNECTED')
  })

  test('on the phone is noticed at once, and the pairing is forgotten', async () => {
    const number = await createNumber(stage)
    await number.link()
    number.phone.unlink()
    await number.reaches('loggedout', 'LOGGED_OUT')
    await until(
      () => credsOf(number.instance.id),
      (creds) => creds === undefined,
    )
    await until(
      () => rowOf(number.instance.id),
      ({ logged_out_at }) => logged_out_at !== null,
    )
    await expect(number.reconnect()).rejects.toMatchObject({ code: 'CONFLICT' })
    await number.link()
  })

  test('on the phone while the gateway was not connected is noticed at the next opening', async () => {
    const number = await createNumber(stage)
    await number.link()
    await number.disconnect()
    number.phone.unlink()
    await number.connect()
    await number.reaches('loggedout', 'LOGGED_OUT')
  })
})

describe('an instance that is deleted', () => {
  test('has no link any more, and leaves nothing', async () => {
    const number = await createNumber(stage)
    await number.link()
    const closed = stage.whatsapp.next('closed', { number: number.phone.number })
    const { errors } = await stage.gateway.post(
      `mutation { deleteInstance(input: { instance: { id: "${number.instance.id}" } }) { deletedInstanceId } }`,
      stage.account.token,
    )
    expect(errors).toBeUndefined()
    await closed
    expect(await credsOf(number.instance.id)).toBeUndefined()
    expect(number.phone.isConnected).toBe(false)
  })

  test('ends its pairing, and says so', async () => {
    const number = await createNumber(stage)
    const steps = stepsOf(number.instance.id)
    await number.connect()
    await number.offers('qr')
    await stage.gateway.post(
      `mutation { deleteInstance(input: { instance: { id: "${number.instance.id}" } }) { deletedInstanceId } }`,
      stage.account.token,
    )
    expect(steps.at(-1)).toMatchObject({ kind: 'failed', reason: { code: 'INSTANCE_DELETED' } })
  })
})

test('a session that somebody else has claimed writes nothing any more, and lets go', async () => {
  const { db } = stage.gateway.services
  const number = await createNumber(stage)
  await number.link()
  await sql`update session_owners set epoch = epoch + 1 where instance_id = ${number.instance.id}`.execute(db)
  const before = [await rowOf(number.instance.id), await credsOf(number.instance.id)]
  number.phone.unlink()
  await until(
    () => stage.gateway.services.sessions.live.filter(({ instance }) => instance.id === number.instance.id),
    (live) => live.length === 0,
  )
  expect([await rowOf(number.instance.id), await credsOf(number.instance.id)]).toEqual(before)
})

test('codes that nobody uses run out, each after its time, and the attempt ends', async () => {
  const impatient = await startStage({ fake: { references: 3 }, timings: { firstQr: 200, nextQr: 200 } })
  try {
    const number = await createNumber(impatient)
    const steps: PairingStep[] = []
    impatient.gateway.services.sessions.pairingSteps.subscribe(number.instance.id, (step) => steps.push(step))
    await number.connect()
    await number.reaches('disconnected', 'PAIRING_EXPIRED')
    expect(steps.map((step) => (step.kind === 'qr' ? step.ordinal : step.kind))).toEqual([1, 2, 3, 'failed'])
    expect(number.status()).toMatchObject({ desiredState: 'connected', reason: { nextStep: 'PAIR' } })
    await number.link()
  } finally {
    await impatient.close()
  }
})
