import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { PairingDocument } from './generated/graphql.ts'
import { type Reader, TRANSPORTS } from './stream-clients.ts'
import { createNumber, type Stage, startStage, until } from './whatsapp.ts'

let stage: Stage
beforeAll(async () => {
  stage = await startStage()
})
afterAll(() => stage.close())

const PAIRING = PairingDocument.toString()

/** What a reader of one instance was told, as "KIND STATE REASON". */
const lines = ({ events }: Reader) =>
  events.map(({ kind, connection }) => [kind, connection.state, connection.reason?.code].filter(Boolean).join(' '))

const lastOf = (reader: Reader, line: string) =>
  vi.waitFor(() => expect(lines(reader).at(-1)).toBe(line), { timeout: 10_000, interval: 10 })

describe.each(TRANSPORTS)('over %s', (_name, read) => {
  test('a dashboard sees a phone being linked, dropped and logged out, in order', async () => {
    const number = await createNumber(stage)
    const reader = read(stage.gateway, number.instance.token)
    await reader.received(1)
    expect(lines(reader)).toEqual(['SNAPSHOT DISCONNECTED NOT_PAIRED'])

    await number.connect()
    await lastOf(reader, 'CHANGED CONNECTING AWAITING_PAIRING')
    await number.phone.scan((await number.offers('qr')).value)
    await lastOf(reader, 'CHANGED CONNECTED')
    number.phone.replace()
    await lastOf(reader, 'CHANGED CONNECTING REPLACED')
    await lastOf(reader, 'CHANGED CONNECTED')
    number.phone.replace()
    await lastOf(reader, 'CHANGED DISCONNECTED REPLACED')
    await number.reconnect()
    await lastOf(reader, 'CHANGED CONNECTED')
    number.phone.unlink()
    await lastOf(reader, 'CHANGED LOGGED_OUT LOGGED_OUT')

    const sequences = reader.events.map(({ connection }): number => connection.sequence)
    expect(sequences).toEqual([...new Set(sequences)].toSorted((a, b) => a - b))
  })

  test('a pairing is followed from its first code to its outcome, which ends the stream', async () => {
    const number = await createNumber(stage)
    const reader = read(stage.gateway, stage.account.token, PAIRING, { instance: { id: number.instance.id } })
    await number.connect()
    const [code] = await reader.received(1)
    expect(code).toMatchObject({
      __typename: 'PairingQrCode',
      ordinal: 1,
      image: expect.stringMatching(/^data:image\/png;base64,/),
    })
    // Somebody who comes later is shown the present code first.
    const late = read(stage.gateway, number.instance.token, PAIRING, { instance: { name: number.instance.name } })
    expect(await late.received(1)).toMatchObject([{ value: code.value }])

    await number.phone.scan(code.value)
    for (const each of [reader, late]) {
      expect(await each.ended()).toEqual({ kind: 'complete' })
      expect(each.events.at(-1)).toMatchObject({
        __typename: 'PairingSucceeded',
        numberJid: number.phone.jid,
        instance: { name: number.instance.name },
      })
    }
  })

  test('a pairing that fails says why, and ends', async () => {
    const number = await createNumber(stage)
    const reader = read(stage.gateway, number.instance.token, PAIRING, { instance: { id: number.instance.id } })
    await number.connect()
    await reader.received(1)
    await number.disconnect()
    expect(await reader.ended()).toEqual({ kind: 'complete' })
    expect(reader.events.at(-1)).toMatchObject({ __typename: 'PairingFailed', reason: { code: 'STOPPED' } })
  })

  test('a deletion ends with REMOVED, which is disconnected for that reason', async () => {
    const number = await createNumber(stage)
    await number.link()
    const reader = read(stage.gateway, stage.account.token, undefined, { names: [number.instance.name] })
    await reader.received(1)
    await stage.gateway.post(
      `mutation { deleteInstance(input: { instance: { id: "${number.instance.id}" } }) { deletedInstanceId } }`,
      stage.account.token,
    )
    await lastOf(reader, 'REMOVED DISCONNECTED INSTANCE_DELETED')
    expect(reader.events.at(-1)).toMatchObject({ instanceName: number.instance.name, instance: null })
  })

  test('a link that flaps is told as its last state', async () => {
    const number = await createNumber(stage)
    await number.link()
    const reader = read(stage.gateway, number.instance.token)
    await reader.received(1)
    for (let times = 0; times < 5; times++) {
      number.phone.drop()
      await number.reaches('connecting')
      await number.reconnect()
      await number.reaches('connected')
    }
    await lastOf(reader, 'CHANGED CONNECTED')
    const { sequence } = number.status()
    await until(
      () => reader.events.at(-1).connection.sequence as number,
      (told) => told === sequence,
    )
  })
})
