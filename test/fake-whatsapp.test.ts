import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type FakeWhatsApp, startFakeWhatsApp } from './fake-whatsapp/server.ts'
import { connectStockSocket } from './stock-socket.ts'

let fake: FakeWhatsApp

beforeAll(async () => {
  fake = await startFakeWhatsApp()
})
afterAll(() => fake.close())

describe('pairing', () => {
  test('by QR code, then a login with the credentials', async () => {
    const phone = fake.phone({ number: '15550001001', businessName: 'Bakery' })
    const registering = connectStockSocket(fake.url)
    const device = await phone.scan(await registering.qr())
    expect(await registering.closed).toMatchObject({ code: 515 })
    expect(registering.auth.creds).toMatchObject({ me: { id: device.jid, name: 'Bakery' }, platform: 'smba' })

    const login = fake.nextLogin(phone.number)
    const socket = connectStockSocket(fake.url, registering.auth.reload())
    await socket.opened()
    expect(await login).toMatchObject({ jid: device.jid, version: expect.stringMatching(/^2\.3000\.\d+$/) })
    expect(phone.isConnected).toBe(true)
  })
})
