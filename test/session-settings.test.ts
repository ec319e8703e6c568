import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createNumber, type Stage, startStage, until } from './whatsapp.ts'

let stage: Stage
beforeAll(async () => {
  stage = await startStage()
})
afterAll(() => stage.close())

type Number = Awaited<ReturnType<typeof createNumber>>

async function change({ instance }: Number, patch: string): Promise<void> {
  const { errors } = await stage.gateway.post(
    `mutation { updateSettings(input: { instance: { id: "${instance.id}" } patch: { ${patch} } }) { instance { id } } }`,
    stage.account.token,
  )
  expect(errors).toBeUndefined()
}

const later = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))

describe('calls', () => {
  test('ring until they are to be rejected, which holds at once', async () => {
    const number = await createNumber(stage)
    await number.link()
    number.phone.receiveCall({ from: '4915550001' })
    await later(200)
    expect(stage.whatsapp.all('callRejected', { number: number.phone.number })).toEqual([])

    await change(number, 'autoRejectCalls: true')
    const rejected = stage.whatsapp.next('callRejected', { number: number.phone.number })
    const callId = number.phone.receiveCall({ from: '4915550001' })
    expect(await rejected).toMatchObject({ callId })
  })

  test('are answered by a message, when there is one', async () => {
    const number = await createNumber(stage)
    await number.link()
    await change(number, 'autoRejectCalls: true, callRejectMessage: "Please write to us."')
    const message = stage.whatsapp.next('message', { number: number.phone.number })
    number.phone.receiveCall({ from: '4915550002' })
    expect((await message).to).toContain('4915550002')
  })
})

describe('messages', () => {
  test('are marked as read when they are to be', async () => {
    const number = await createNumber(stage)
    await number.link()
    const unread = number.phone.receiveText({ from: '4915550003', text: 'Hello' })
    await stage.whatsapp.seen('receipt', { number: number.phone.number, ids: [unread] })
    expect(stage.whatsapp.all('receipt', { number: number.phone.number, type: 'read' })).toEqual([])
    await change(number, 'autoReadMessages: true')
    const id = number.phone.receiveText({ from: '4915550003', text: 'Hello?' })
    await until(
      () => stage.whatsapp.all('receipt', { number: number.phone.number, type: 'read' }).flatMap(({ ids }) => ids),
      (ids) => ids.includes(id),
    )
  })

  test('of groups and statuses are dropped when they are to be', async () => {
    const number = await createNumber(stage)
    await number.link()
    await change(number, 'autoReadMessages: true, ignoreGroupMessages: true, ignoreStatus: true')
    number.phone.receiveText({ from: '4915550004', text: 'in a group', group: '120363000000000001@g.us' })
    number.phone.receiveText({ from: '4915550004', text: 'a status', status: true })
    const id = number.phone.receiveText({ from: '4915550004', text: 'in private' })
    const read = await stage.whatsapp.next('receipt', { number: number.phone.number, type: 'read' })
    expect(read.ids).toEqual([id])

    await change(number, 'ignoreGroupMessages: false')
    const heard = number.phone.receiveText({ from: '4915550004', text: 'again', group: '120363000000000001@g.us' })
    await stage.whatsapp.next('receipt', { number: number.phone.number, type: 'read', ids: [heard] })
  })
})

describe('the presence', () => {
  test('is offline, so that the phone keeps its notifications, until it is to be online', async () => {
    const number = await createNumber(stage)
    await number.link()
    await number.phone.rename('Ann')
    await until(
      () => stage.whatsapp.all('presence', { number: number.phone.number }),
      (all) => all.length > 0,
    )
    expect(number.status().presenceStatus).toBe('unavailable')

    const { sequence } = number.status()
    await change(number, 'keepOnlineStatus: true')
    await stage.whatsapp.seen('presence', { number: number.phone.number, type: 'available' })
    const status = await until(number.status, ({ presenceStatus }) => presenceStatus === 'available')
    expect(status.sequence).toBeGreaterThan(sequence)

    await change(number, 'keepOnlineStatus: false')
    await until(number.status, ({ presenceStatus }) => presenceStatus === 'unavailable')
  })

  test('is online from the opening on, and never without a link', async () => {
    const number = await createNumber(stage)
    await change(number, 'keepOnlineStatus: true')
    await number.link()
    await number.phone.rename('Ann')
    await until(number.status, ({ presenceStatus }) => presenceStatus === 'available')
    await number.disconnect()
    expect(number.status().presenceStatus).toBe('unavailable')
    await number.connect()
    await until(number.status, ({ presenceStatus }) => presenceStatus === 'available')
  })
})

describe('the profile', () => {
  const profileOf = async ({ instance }: Number) => {
    const { data } = await stage.gateway.post(
      `{ node(id: "${instance.id}") { ... on Instance { updatedAt profile { name pictureUrl isBusiness businessName } } } }`,
      stage.account.token,
    )
    return data.node.profile as { name: string | null; pictureUrl: string | null; businessName: string | null }
  }

  test('is taken when the link opens and when it changes, and stays when it closes', async () => {
    const number = await createNumber(stage, { pictureUrl: 'https://pps.example.com/1.jpg' })
    await number.link()
    await until(
      () => profileOf(number),
      ({ pictureUrl }) => pictureUrl === 'https://pps.example.com/1.jpg',
    )
    // Told with the settings of the account, without anything having changed.
    await until(
      () => profileOf(number),
      ({ name }) => name === 'Ann',
    )
    await number.phone.rename('Ann of the shop')
    await until(
      () => profileOf(number),
      ({ name }) => name === 'Ann of the shop',
    )
    number.phone.changePicture('https://pps.example.com/2.jpg')
    await until(
      () => profileOf(number),
      ({ pictureUrl }) => pictureUrl === 'https://pps.example.com/2.jpg',
    )
    await number.disconnect()
    expect(await profileOf(number)).toEqual({
      name: 'Ann of the shop',
      pictureUrl: 'https://pps.example.com/2.jpg',
      isBusiness: false,
      businessName: null,
    })
    const row = await stage.gateway.services.db
      .selectFrom('instances')
      .select('profile_observed_at')
      .where('id', '=', number.instance.id)
      .executeTakeFirstOrThrow()
    expect(row.profile_observed_at).toBeInstanceOf(Date)

    number.phone.pictureUrl = null
    await number.connect()
    await until(
      () => profileOf(number),
      ({ pictureUrl }) => pictureUrl === null,
    )
  })

  test('of a business has its name', async () => {
    const number = await createNumber(stage, { name: undefined, businessName: 'Bakery Ltd' })
    await number.link()
    expect(
      await until(
        () => profileOf(number),
        ({ businessName }) => businessName !== null,
      ),
    ).toMatchObject({
      isBusiness: true,
      businessName: 'Bakery Ltd',
      name: 'Bakery Ltd',
    })
  })

  test('that cannot be asked for is kept as it was, and delays nothing', async () => {
    const number = await createNumber(stage, { pictureUrl: 'https://pps.example.com/3.jpg' })
    await number.link()
    await until(
      () => profileOf(number),
      ({ pictureUrl }) => pictureUrl !== null,
    )
    number.phone.mute('w:profile:picture')
    await number.reconnect()
    await number.reaches('connected', undefined, 3_000)
    expect((await profileOf(number)).pictureUrl).toBe('https://pps.example.com/3.jpg')
  })
})
