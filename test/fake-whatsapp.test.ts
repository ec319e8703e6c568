import type { UserFacingSocketConfig } from '@whiskeysockets/baileys'
import { HttpsProxyAgent } from 'https-proxy-agent'
import { SocksProxyAgent } from 'socks-proxy-agent'
import { afterAll, afterEach, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { startFakeProcessForTest } from './fake-process.ts'
import { type FakeProxy, startHttpProxy, startSocksProxy } from './fake-proxy.ts'
import { createKeyPair, isSignedBy, sign } from './fake-whatsapp/curve.ts'
import type { OpeningFault } from './fake-whatsapp/faults.ts'
import type { PhoneOptions } from './fake-whatsapp/phone.ts'
import { type FakeWhatsApp, startFakeWhatsApp } from './fake-whatsapp/server.ts'
import { connectStockSocket, createLinkedCreds, createMemoryAuth, type MemoryAuth } from './stock-socket.ts'

const NUMBER = '15550001000'
const CONTACT = '15550009999'

let fake: FakeWhatsApp
let linking: Promise<MemoryAuth> | undefined

/** Pairs a device; what it knows afterwards. */
async function link(options: PhoneOptions): Promise<MemoryAuth> {
  const phone = fake.phone(options)
  const socket = connectStockSocket(fake.url)
  await phone.scan(await socket.qr())
  await socket.closed
  return socket.auth.reload()
}

/** The device that all tests of failures share: its credentials as a restart reads them. */
async function linked(): Promise<MemoryAuth> {
  linking ??= link({ number: NUMBER })
  return (await linking).reload()
}

async function open(options: PhoneOptions, socketOptions: Partial<UserFacingSocketConfig> = {}) {
  const auth = await link(options)
  const socket = connectStockSocket(fake.url, auth, socketOptions)
  await socket.opened()
  return { phone: fake.phone({ number: options.number }), socket, auth }
}

beforeAll(async () => {
  fake = await startFakeWhatsApp({ routingInfo: 'edge-7' })
})
afterEach(() => fake.heal())
afterAll(() => fake.close())

test('signatures are really checked', () => {
  const signer = createKeyPair()
  const signature = sign(signer, Buffer.from('words'))
  expect(isSignedBy(signer.public, signature, Buffer.from('words'))).toBe(true)
  expect(isSignedBy(signer.public, signature, Buffer.from('other words'))).toBe(false)
  expect(isSignedBy(createKeyPair().public, signature, Buffer.from('words'))).toBe(false)
  expect(isSignedBy(signer.public, Buffer.alloc(64), Buffer.from('words'))).toBe(false)
})

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

    const again = fake.nextLogin(phone.number)
    phone.drop()
    await socket.closed
    await connectStockSocket(fake.url, socket.auth.reload()).opened()
    expect(await again).toMatchObject({ routingInfo: 'edge-7' })
  })

  test('by code, and not by a wrong one', async () => {
    const phone = fake.phone({ number: '15550001002', platform: 'iphone' })
    const wrong = connectStockSocket(fake.url)
    await wrong.qr()
    await wrong.requestPairingCode(phone.number, 'AAAABBBB')
    await expect(phone.enterCode('ZZZZZZZZ')).rejects.toThrow('Wrong pairing code')
    expect(await wrong.closed).toMatchObject({ code: 401 })

    const right = connectStockSocket(fake.url)
    await right.qr()
    const device = await phone.enterCode(await right.requestPairingCode(phone.number))
    expect(await right.closed).toMatchObject({ code: 515 })
    expect(right.auth.creds).toMatchObject({ me: { id: device.jid }, platform: 'iphone', registered: true })
    await connectStockSocket(fake.url, right.auth.reload()).opened()
  })

  test('a device that signs with another key than it shows is refused', async () => {
    const { creds } = createMemoryAuth()
    const signedIdentityKey = { ...creds.signedIdentityKey, private: createKeyPair().private }
    const socket = connectStockSocket(fake.url, createMemoryAuth({ ...creds, signedIdentityKey }))
    const phone = fake.phone({ number: '15550001006' })
    await expect(phone.scan(await socket.qr())).rejects.toThrow('The device signed with another key')
    expect(await socket.closed).toMatchObject({ code: 401 })
    expect(phone.devices.size).toBe(0)
  })

  test('a QR code is good once, and as long as it is shown', async () => {
    const phone = fake.phone({ number: '15550001003' })
    const socket = connectStockSocket(fake.url, createMemoryAuth(), { qrTimeout: 30 })
    const qr = await socket.qr()
    expect(await socket.closed).toMatchObject({ code: 408, message: 'QR refs attempts ended' })
    await expect(phone.scan(qr)).rejects.toThrow('The QR code has expired')
  })

  test('half-made credentials are refused', async () => {
    const creds = { ...createLinkedCreds('15550001004'), account: undefined }
    expect(await connectStockSocket(fake.url, createMemoryAuth(creds)).closed).toMatchObject({ code: 401 })
    expect(fake.all('refusedLogin', { number: '15550001004' })).toHaveLength(1)
  })

  test('one-time keys are uploaded where the server has none', async () => {
    const real = await startFakeWhatsApp({ preKeys: 'real', acceptUnknownDevices: true })
    onTestFinished(() => real.close())
    await connectStockSocket(real.url, createMemoryAuth(createLinkedCreds('15550001005'))).opened()
    expect(real.phone({ number: '15550001005' }).devices.get(1)).toMatchObject({ preKeys: 812 })
  })
})

describe('openings that fail', () => {
  const faults: [OpeningFault, number][] = [
    [{ kind: 'reset' }, 408],
    [{ kind: 'no-upgrade' }, 408],
    [{ kind: 'no-hello' }, 408],
    [{ kind: 'bad-certificate' }, 400],
    [{ kind: 'failure', reason: 401 }, 401],
    [{ kind: 'failure', reason: 402, attributes: { expire: '3600' } }, 402],
    [{ kind: 'failure', reason: 403 }, 403],
    [{ kind: 'failure', reason: 405 }, 405],
    [{ kind: 'failure', reason: 503 }, 503],
    [{ kind: 'stream-error', code: 503 }, 503],
    [{ kind: 'stream-error', code: 515 }, 515],
    [{ kind: 'stream-error', children: ['conflict'] }, 440],
    [{ kind: 'stream-error', children: ['ack'] }, 500],
    [{ kind: 'stream-error' }, 500],
    [{ kind: 'downgrade' }, 411],
  ]

  test.each(faults)('%j closes with %i', async (fault, code) => {
    const auth = await linked()
    fake.fail(fault, 1)
    const closed = await connectStockSocket(fake.url, auth, { connectTimeoutMs: 400 }).closed
    expect(closed).toMatchObject({ code })
    if (fault.kind === 'failure') expect(closed.data).toMatchObject({ reason: String(code), ...fault.attributes })
    await connectStockSocket(fake.url, auth).opened()
  })

  test('an upgrade answered with a status is told to nobody but the WebSocket', async () => {
    const auth = await linked()
    fake.fail({ kind: 'http', status: 503, headers: { 'retry-after': '5' } }, 1)
    const socket = connectStockSocket(fake.url, auth, { connectTimeoutMs: 100 })
    const response = await new Promise<{ statusCode: number; headers: object }>((resolve) => {
      socket.ws.on('unexpected-response', (_request, answer) => resolve(answer))
    })
    expect(response).toMatchObject({ statusCode: 503, headers: { 'retry-after': '5' } })
  })

  test('a login that is never answered is pinged for ever', async () => {
    const auth = await linked()
    fake.fail({ kind: 'no-login' }, 1)
    const before = fake.stats().pings
    connectStockSocket(fake.url, auth, { keepAliveIntervalMs: 50 })
    for (let ping = 1; ping <= 3; ping++) await fake.next('query', { xmlns: 'w:p' })
    expect(fake.stats()).toMatchObject({ pings: before + 3 })
  })

  test('one phone fails while others live', async () => {
    const { phone, socket } = await open({ number: '15550001010' })
    phone.fail({ kind: 'failure', reason: 403 })
    phone.drop()
    await socket.closed
    expect(await connectStockSocket(fake.url, socket.auth.reload()).closed).toMatchObject({ code: 403 })
    await connectStockSocket(fake.url, await linked()).opened()
    phone.heal()
    await connectStockSocket(fake.url, socket.auth.reload()).opened()
  })

  test('nobody listens, then somebody does again', async () => {
    const auth = await linked()
    fake.refuse()
    onTestFinished(() => fake.accept())
    expect(await connectStockSocket(fake.url, auth).closed).toMatchObject({ code: 408 })
    await fake.accept()
    await connectStockSocket(fake.url, auth).opened()
  })

  test('logins can be slow, and openings are counted', async () => {
    const auth = await linked()
    fake.loginDelayMs = 200
    const startedAt = performance.now()
    await connectStockSocket(fake.url, auth).opened()
    expect(performance.now() - startedAt).toBeGreaterThan(200)
    expect(fake.stats().openingPeak).toBeGreaterThanOrEqual(1)
  })
})

describe('connections that fail', () => {
  const endings: [string, (phone: ReturnType<FakeWhatsApp['phone']>) => void, number][] = [
    ['drop', (phone) => phone.drop(), 428],
    ['clean close', (phone) => phone.closeCleanly(), 428],
    ['end of the stream', (phone) => phone.endStream(), 428],
    ['stream error 503', (phone) => phone.streamError({ code: 503 }), 503],
    ['stream error 515', (phone) => phone.streamError({ code: 515 }), 515],
    ['stream error without a code', (phone) => phone.streamError({ children: ['ack'] }), 500],
    ['replaced', (phone) => phone.replace(), 440],
    ['downgrade', (phone) => phone.downgrade(), 411],
  ]

  test.each(endings)('%s', async (_, end, code) => {
    const phone = fake.phone({ number: NUMBER })
    const socket = connectStockSocket(fake.url, await linked())
    await socket.opened()
    end(phone)
    expect(await socket.closed).toMatchObject({ code })
  })

  test('a second login of the same device replaces the first, and it is known when', async () => {
    const first = connectStockSocket(`${fake.url}?node=a`, await linked())
    await first.opened()
    const second = connectStockSocket(`${fake.url}?node=b`, await linked())
    await second.opened()
    expect(await first.closed).toMatchObject({ code: 440 })
    expect(fake.live().filter(({ number }) => number === NUMBER)).toHaveLength(1)
    const [a, b] = fake.sockets().slice(-2)
    expect(a).toMatchObject({ number: NUMBER, node: 'a', closedAt: expect.any(Number) })
    expect(b).toMatchObject({ number: NUMBER, node: 'b', replacedAt: null, closedAt: null })
    expect(a?.replacedAt).toBeGreaterThanOrEqual(b?.openedAt ?? Number.NaN)
  })

  test('unlinked by the phone, and not let in again', async () => {
    const { phone, socket } = await open({ number: '15550001020' })
    phone.unlink()
    expect(await socket.closed).toMatchObject({ code: 401 })
    expect(await connectStockSocket(fake.url, socket.auth.reload()).closed).toMatchObject({ code: 401 })
  })

  test('logged out by the device', async () => {
    const { phone, socket } = await open({ number: '15550001021' })
    const unlinked = fake.next('unlinked', { number: phone.number, by: 'device' })
    await socket.logout()
    expect(await socket.closed).toMatchObject({ code: 401, message: 'Intentional Logout' })
    await unlinked
    expect(phone.devices.size).toBe(0)
    expect(await connectStockSocket(fake.url, socket.auth.reload()).closed).toMatchObject({ code: 401 })
  })

  test('a network that vanishes is noticed by nobody, and may come back', async () => {
    const { phone, socket } = await open({ number: '15550001022' })
    phone.hang()
    const url = socket.profilePictureUrl(phone.jid, 'image', 200)
    await expect(url).rejects.toThrow('Timed Out')
    expect(socket.ws.isOpen).toBe(true)
    phone.comeBack()
    await expect(socket.profilePictureUrl(phone.jid, 'image', 2_000)).rejects.toMatchObject({ data: 404 })
  })

  test('silence: what is said is heard, and not answered', async () => {
    const { phone, socket } = await open({ number: '15550001023' })
    phone.goSilent()
    const heard = fake.next('query', { number: phone.number, xmlns: 'w:profile:picture' })
    await expect(socket.profilePictureUrl(phone.jid, 'image', 200)).rejects.toThrow('Timed Out')
    await heard
  })

  test('a kind of query without an answer', async () => {
    const { phone, socket } = await open({ number: '15550001024', pictureUrl: 'http://127.0.0.1/me.jpg' })
    phone.mute('w:profile:picture')
    await expect(socket.profilePictureUrl(phone.jid, 'image', 200)).rejects.toThrow('Timed Out')
    phone.heal()
    expect(await socket.profilePictureUrl(phone.jid, 'image', 2_000)).toBe('http://127.0.0.1/me.jpg')
  })

  test('a frame that does not decrypt leaves the socket open and nobody told', async () => {
    const { phone, socket } = await open({ number: '15550001025' })
    const others = process.listeners('unhandledRejection')
    process.removeAllListeners('unhandledRejection')
    try {
      const unhandled = new Promise<Error>((resolve) => process.once('unhandledRejection', resolve))
      phone.sendGarbage()
      expect(await unhandled).toMatchObject({ message: expect.stringContaining('unable to authenticate data') })
    } finally {
      for (const listener of others) process.on('unhandledRejection', listener)
    }
    expect(socket.ws.isOpen).toBe(true)
  })
})

describe('what a phone tells its devices', () => {
  test('its name, by the settings at the first login and by each change', async () => {
    const auth = await link({ number: '15550001030', name: 'Ada' })
    const phone = fake.phone({ number: '15550001030' })
    const socket = connectStockSocket(fake.url, auth)
    await socket.event('creds.update', ({ me }) => me?.name === 'Ada')
    await socket.opened()
    const renamed = socket.event('creds.update', ({ me }) => me?.name === 'Countess')
    await phone.rename('Countess')
    await renamed
    const told = socket.event('creds.update', ({ me }) => me?.name === 'Lovelace')
    phone.writeToSelf('remember the milk', 'Lovelace')
    await told
    // Written from the device's side; the account's settings take it.
    const patched = fake.next('settingsPatch', { number: phone.number, collection: 'critical_block' })
    await socket.updateProfileName('Ada again')
    await patched
    expect(socket.authState.creds.me?.name).toBe('Ada again')
  })

  test('its picture and business profile', async () => {
    const { phone, socket } = await open({
      number: '15550001031',
      businessName: 'Bakery',
      pictureUrl: 'http://127.0.0.1/old.jpg',
      businessProfile: { description: 'Bread', email: 'bread@example.test', category: 'Food' },
    })
    expect(await socket.profilePictureUrl(phone.jid, 'image')).toBe('http://127.0.0.1/old.jpg')
    const changed = socket.event('contacts.update', ([contact]) => contact?.id === phone.jid)
    phone.changePicture('http://127.0.0.1/new.jpg')
    expect(await changed).toMatchObject([{ imgUrl: 'changed' }])
    expect(await socket.profilePictureUrl(phone.jid, 'image')).toBe('http://127.0.0.1/new.jpg')
    phone.changePicture(null)
    await expect(socket.profilePictureUrl(phone.jid, 'image')).rejects.toMatchObject({ data: 404 })
    expect(await socket.getBusinessProfile(phone.jid)).toMatchObject({ description: 'Bread', category: 'Food' })
    expect(await socket.getBusinessProfile(`${CONTACT}@s.whatsapp.net`)).toBeUndefined()
  })

  test('that somebody calls', async () => {
    const { phone, socket } = await open({ number: '15550001032' })
    const called = socket.event('call', ([call]) => call?.status === 'offer')
    const id = phone.receiveCall({ from: CONTACT, video: true })
    const [call] = await called
    expect(call).toMatchObject({ id, from: `${CONTACT}@s.whatsapp.net`, isVideo: true, isGroup: false })
    await socket.rejectCall(id, call?.from ?? '')
    expect(fake.all('callRejected', { callId: id })).toEqual([
      { number: phone.number, jid: expect.any(String), callId: id, caller: `${CONTACT}@s.whatsapp.net` },
    ])
    const ended = socket.event('call', ([call]) => call?.status === 'timeout')
    phone.endCall({ from: CONTACT, id })
    await ended
  })

  test('what is written to it, in private, in a group and as a status', async () => {
    fake.phone({ number: CONTACT, name: 'Grace' })
    const { phone, socket } = await open({ number: '15550001033' })
    const text = async (message: Omit<Parameters<typeof phone.receiveText>[0], 'from'>) => {
      const received = socket.event('messages.upsert', ({ messages }) => Boolean(messages[0]?.message?.conversation))
      const id = phone.receiveText({ from: CONTACT, ...message })
      const [found] = (await received).messages
      expect(found).toMatchObject({ key: { id, fromMe: false }, pushName: 'Grace' })
      return found
    }
    const direct = await text({ text: 'Hello' })
    expect(direct?.key.remoteJid).toBe(`${CONTACT}@s.whatsapp.net`)
    expect(direct?.message?.conversation).toBe('Hello')
    const grouped = await text({ text: 'Hello all', group: '1203630001@g.us' })
    expect(grouped?.key).toMatchObject({ remoteJid: '1203630001@g.us', participant: `${CONTACT}@s.whatsapp.net` })
    const status = await text({ text: 'Holiday', status: true })
    expect(status?.key.remoteJid).toBe('status@broadcast')
    expect((await socket.groupMetadata('1203630001@g.us')).participants).toHaveLength(2)

    await socket.readMessages([direct?.key ?? {}, grouped?.key ?? {}])
    const read = await fake.seen('receipt', { number: phone.number, type: 'read', to: `${CONTACT}@s.whatsapp.net` })
    expect(read.ids).toEqual([direct?.key.id])
    await fake.seen('receipt', { number: phone.number, type: 'read', to: '1203630001@g.us' })

    // While nobody is there, it is kept.
    phone.drop()
    await fake.next('closed', { number: phone.number })
    const kept = phone.receiveText({ from: CONTACT, text: 'Still there?' })
    const back = connectStockSocket(fake.url, socket.auth.reload())
    const late = await back.event('messages.upsert', ({ messages }) => messages[0]?.key.id === kept)
    expect(late).toMatchObject({ type: 'append', messages: [{ message: { conversation: 'Still there?' } }] })
  })

  test('that messages of its own have arrived', async () => {
    const { phone, socket } = await open(
      { number: '15550001034' },
      // Else the update is merged into the event of the message itself, which comes when it likes.
      { emitOwnEvents: false },
    )
    fake.phone({ number: CONTACT })
    const sent = await socket.sendMessage(`${CONTACT}@s.whatsapp.net`, { text: 'Hello' })
    const message = await fake.seen('message', { number: phone.number })
    expect(message).toMatchObject({ id: sent?.key.id, to: `${CONTACT}@s.whatsapp.net`, type: 'text', text: 'Hello' })
    expect(message.recipients).toEqual(expect.arrayContaining([`${CONTACT}@s.whatsapp.net`, phone.jid]))
    const read = socket.event('messages.update', ([update]) => update?.update.status === 4)
    phone.confirm({ id: message.id, by: CONTACT, read: true })
    await read

    const second = fake.next('message', { number: phone.number })
    await socket.sendMessage(`${CONTACT}@s.whatsapp.net`, { text: 'Are you there?' })
    expect(await second).toMatchObject({ text: 'Are you there?' })
    expect(fake.all('problem')).toEqual([])
  })

  test('what devices say of themselves is recorded', async () => {
    const { phone, socket } = await open({ number: '15550001035', businessName: 'Bakery' })
    await socket.sendPresenceUpdate('available')
    await fake.seen('presence', { number: phone.number, type: 'available', name: 'Bakery' })
    await socket.sendPresenceUpdate('composing', `${CONTACT}@s.whatsapp.net`)
    await fake.seen('chatState', { number: phone.number, state: 'composing' })
    const shown = socket.event('presence.update')
    phone.showPresence(CONTACT, 'unavailable')
    expect(await shown).toMatchObject({ id: `${CONTACT}@s.whatsapp.net` })
  })

  test('who is on WhatsApp', async () => {
    const { socket } = await open({ number: '15550001036' })
    fake.phone({ number: CONTACT })
    expect(await socket.onWhatsApp(CONTACT, '15550000404')).toEqual([
      { jid: `${CONTACT}@s.whatsapp.net`, exists: true },
    ])
  })
})

describe('proxies', () => {
  const credentials = { username: 'shop', password: 'p:ss' }
  const withCredentials = (proxy: FakeProxy, password = credentials.password) =>
    Object.assign(new URL(proxy.url), { username: credentials.username, password })

  async function started(starting: Promise<FakeProxy>): Promise<FakeProxy> {
    const proxy = await starting
    onTestFinished(() => proxy.close())
    return proxy
  }
  const through = (agent: HttpsProxyAgent<string> | SocksProxyAgent) =>
    connectStockSocket(fake.url, createMemoryAuth(), { agent })

  test.each(['http', 'https'] as const)('%s', async (protocol) => {
    const proxy = await started(startHttpProxy({ credentials, tls: protocol === 'https' }))
    const options = proxy.ca === null ? {} : { ca: proxy.ca }
    await through(new HttpsProxyAgent(withCredentials(proxy), options)).qr()
    expect(proxy).toMatchObject({
      protocol,
      requests: [{ target: `127.0.0.1:${fake.port}`, username: 'shop', isAccepted: true }],
    })
    expect(proxy.tunnels()).toBe(1)

    const refused = through(new HttpsProxyAgent(withCredentials(proxy, 'wrong'), options))
    const response = await new Promise<{ statusCode: number }>((resolve) =>
      refused.ws.on('unexpected-response', (_request, answer) => resolve(answer)),
    )
    expect(response.statusCode).toBe(407)
  })

  test('socks5', async () => {
    const proxy = await started(startSocksProxy({ credentials }))
    await through(new SocksProxyAgent(withCredentials(proxy))).qr()
    expect(proxy.requests).toEqual([{ target: `127.0.0.1:${fake.port}`, username: 'shop', isAccepted: true }])
    // Baileys knows network errors by a code that begins with an E, which those of the SOCKS client have not.
    const wrong = await through(new SocksProxyAgent(withCredentials(proxy, 'wrong'))).closed
    expect(wrong).toMatchObject({ code: 500, message: 'WebSocket Error (Socks5 Authentication failed)' })
    proxy.answerWith(2)
    expect(await through(new SocksProxyAgent(withCredentials(proxy))).closed).toMatchObject({ code: 500 })
  })

  test('one that is gone and comes back', async () => {
    const proxy = await started(startSocksProxy())
    const socket = through(new SocksProxyAgent(proxy.url))
    await socket.qr()
    await proxy.refuse()
    expect(await socket.closed).toMatchObject({ code: 428 })
    expect(await through(new SocksProxyAgent(proxy.url)).closed).toMatchObject({ code: 500 })
    await proxy.accept()
    await through(new SocksProxyAgent(proxy.url)).qr()
  })

  test('one that accepts and never answers is out of reach of the connect timeout', async () => {
    const proxy = await started(startHttpProxy())
    proxy.answerWith('nothing')
    const agent = new HttpsProxyAgent(proxy.url)
    const socket = connectStockSocket(fake.url, createMemoryAuth(), { agent, connectTimeoutMs: 100 })
    const isClosed = Promise.race([
      socket.closed.then(() => true),
      new Promise((resolve) => setTimeout(() => resolve(false), 500)),
    ])
    expect(await isClosed).toBe(false)
    void socket.end(new Error('Long enough'))
    expect(await socket.closed).toMatchObject({ message: 'Long enough' })
  })
})

describe('in a process of its own', () => {
  test('takes orders, and accepts devices that were never paired', async () => {
    const own = await startFakeProcessForTest('--accept-unknown')
    const socket = connectStockSocket(own.url, createMemoryAuth(createLinkedCreds(NUMBER)))
    await socket.opened()
    expect(await own.call('live')).toEqual([{ number: NUMBER, jid: `${NUMBER}:1@s.whatsapp.net` }])
    expect(await own.call('seen', 'login', { number: NUMBER })).toMatchObject({ number: NUMBER })
    const renamed = socket.event('creds.update', ({ me }) => me?.name === 'Ada')
    await own.call('phone.rename', NUMBER, 'Ada')
    await renamed
    await expect(own.call('next', 'login', { number: '1' }, 50)).rejects.toThrow('No login like {"number":"1"}')
    await expect(own.call('phone.drop', '15550000404')).rejects.toThrow('No phone 15550000404')

    const other = createMemoryAuth(createLinkedCreds(NUMBER))
    expect(await connectStockSocket(own.url, other).closed).toMatchObject({ code: 401 })

    await own.call('phone.unlink', NUMBER)
    expect(await socket.closed).toMatchObject({ code: 401 })
    expect(await connectStockSocket(own.url, socket.auth.reload()).closed).toMatchObject({ code: 401 })

    await own.call('phone', { number: CONTACT })
    const registering = connectStockSocket(own.url)
    await own.call('phone.scan', CONTACT, await registering.qr())
    expect(await registering.closed).toMatchObject({ code: 515 })
    const paired = connectStockSocket(own.url, registering.auth.reload())
    await paired.opened()

    await own.call('outage', 500)
    await expect(own.call('live')).rejects.toThrow('fetch failed')
    expect(await paired.closed).toMatchObject({ code: 428 })
    await new Promise((resolve) => setTimeout(resolve, 500))
    expect(await own.call('live')).toEqual([])
  })

  test('ends by itself, whatever still hangs', async () => {
    const own = await startFakeProcessForTest('--accept-unknown')
    const socket = connectStockSocket(own.url, createMemoryAuth(createLinkedCreds(NUMBER)))
    await socket.opened()
    await own.call('phone.hang', NUMBER)
    await own.call('fail', { kind: 'no-upgrade' })
    connectStockSocket(own.url)
    await own.call('seen', 'upgrade')
    const waiting = own.call('next', 'login').catch((error: Error) => error.message)
    expect(await own.stop()).toEqual({ code: 0, signal: null })
    await waiting
  })
})
