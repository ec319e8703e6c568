import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { openRedisBus, type Bus } from '../src/cluster/bus.ts'
import { clusterSecretsOf } from '../src/cluster/secrets.ts'
import type { Announcement } from '../src/cluster/wire.ts'
import { hasOwnRedis, type OwnRedis, startOwnRedis } from './own-redis.ts'
import { silentLogger } from './silent-logger.ts'
import { until } from './whatsapp.ts'

const KEY = Buffer.alloc(32, 1)
const OTHER_KEY = Buffer.alloc(32, 2)
const announcement = (number: number): Announcement => ({
  from: { id: randomUUID(), epoch: 1 },
  before: number - 1,
  number,
  told: [],
  passings: [],
})

describe.skipIf(!hasOwnRedis)('the bus', () => {
  let redis: OwnRedis
  beforeAll(async () => {
    redis = await startOwnRedis()
  })
  afterAll(() => redis.close())

  const open = async (current = KEY, previous: Buffer | null = null) => {
    const bus = await openRedisBus(redis.url, clusterSecretsOf({ current, previous }).busSealer, silentLogger)
    onTestFinished(() => bus.close())
    const heard: [string, Announcement][] = []
    const changes: string[] = []
    bus.listen({
      onMessage: (accountId, message) => heard.push([accountId, message]),
      onUp: () => changes.push('up'),
      onDown: () => changes.push('down'),
    })
    await until(
      () => bus.isUp,
      (isUp) => isUp,
    )
    return { bus, heard, changes }
  }
  const arrives = async (from: Bus, heard: readonly unknown[], accountId: string, message: Announcement) => {
    const before = heard.length
    from.publish(accountId, message)
    await until(
      () => heard.length,
      (length) => length > before,
    )
  }

  test('carries what is told of an account to those who listen to it, and to nobody else', async () => {
    const [sender, listener, stranger] = [await open(), await open(), await open()]
    const [account, other] = [randomUUID(), randomUUID()]
    await listener.bus.subscribe(account)
    await stranger.bus.subscribe(other)
    const message = announcement(1)
    await arrives(sender.bus, listener.heard, account, message)
    expect(listener.heard).toEqual([[account, message]])
    expect(stranger.heard).toEqual([])
  })

  test('tells an account no more that is not listened to any longer', async () => {
    const [sender, listener] = [await open(), await open()]
    const [account, other] = [randomUUID(), randomUUID()]
    await listener.bus.subscribe(account)
    await listener.bus.subscribe(other)
    listener.bus.unsubscribe(account)
    await listener.bus.subscribe(other)
    sender.bus.publish(account, announcement(1))
    await arrives(sender.bus, listener.heard, other, announcement(2))
    expect(listener.heard.map(([accountId]) => accountId)).toEqual([other])
  })

  test('is read with the key before the present one while nodes are given another key', async () => {
    const [sender, listener] = [await open(KEY), await open(OTHER_KEY, KEY)]
    const account = randomUUID()
    await listener.bus.subscribe(account)
    await arrives(sender.bus, listener.heard, account, announcement(1))
    expect(listener.heard).toHaveLength(1)
  })

  test('does not listen to whoever has another key, nor to what was sealed for another account', async () => {
    const { Redis } = await import('ioredis')
    const [stranger, listener, observer] = [await open(OTHER_KEY), await open(), new Redis(redis.url)]
    onTestFinished(() => observer.disconnect())
    await once(observer, 'ready')
    const [account, other] = [randomUUID(), randomUUID()]
    await listener.bus.subscribe(account)
    stranger.bus.publish(account, announcement(1))
    const sealed = await new Promise<Buffer>((resolve) => {
      observer.on('smessageBuffer', (_topic: Buffer, message: Buffer) => resolve(message))
      void observer
        .ssubscribe(`switchboard:sessions:{${other}}`)
        .then(() => open().then(({ bus }) => bus.publish(other, announcement(7))))
    })
    const forger = new Redis(redis.url)
    onTestFinished(() => forger.disconnect())
    await forger.spublish(`switchboard:sessions:{${account}}`, sealed)
    const { bus: sender } = await open()
    await arrives(sender, listener.heard, account, announcement(2))
    expect(listener.heard.map(([, { number }]) => number)).toEqual([2])
    expect(sealed.toString('latin1')).not.toContain('number')
  })

  test('is away with the server, and listens to the same accounts when it is back', async () => {
    const [sender, listener] = [await open(), await open()]
    const [account, later] = [randomUUID(), randomUUID()]
    await listener.bus.subscribe(account)
    await redis.stop()
    await until(
      () => sender.bus.isUp || listener.bus.isUp,
      (isUp) => !isUp,
    )
    sender.bus.publish(account, announcement(1))
    await listener.bus.subscribe(later)
    await redis.start()
    await until(
      () => sender.bus.isUp && listener.bus.isUp,
      (isUp) => isUp,
    )
    expect(listener.changes).toEqual(['up', 'down', 'up'])
    await arrives(sender.bus, listener.heard, account, announcement(2))
    await arrives(sender.bus, listener.heard, later, announcement(3))
    expect(listener.heard.map(([, { number }]) => number)).toEqual([2, 3])
  })
})
