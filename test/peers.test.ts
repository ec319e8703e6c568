import { randomUUID } from 'node:crypto'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import type * as Os from 'node:os'
import { pino } from 'pino'
import { describe, expect, onTestFinished, test, vi } from 'vitest'
import { listenForPeers, type PeerHandlers } from '../src/cluster/peer-server.ts'
import { createPeerClient } from '../src/cluster/peers.ts'
import { clusterSecretsOf } from '../src/cluster/secrets.ts'
import type { CommandRequest } from '../src/cluster/wire.ts'
import { GatewayError } from '../src/errors.ts'
import type { Instance } from '../src/instance/queries.ts'
import { NotOwner } from '../src/session/remote.ts'
import { silentLogger } from './silent-logger.ts'

const machine = vi.hoisted(() => ({ more: {} as ReturnType<typeof Os.networkInterfaces> }))
vi.mock('node:os', async (original) => {
  const os = await original<typeof Os>()
  return { ...os, networkInterfaces: () => ({ ...os.networkInterfaces(), ...machine.more }) }
})

const [KEY, OTHER_KEY] = [Buffer.alloc(32, 1), Buffer.alloc(32, 2)]
const bearersOf = (current: Buffer, previous: Buffer | null = null) => clusterSecretsOf({ current, previous }).bearers
const NODE = { id: randomUUID(), epoch: 1 }
const TRUTH = { from: { ...NODE, isBusUp: true }, accounts: {} }
const NOTHING = { from: null, accounts: {} }

const instance: Instance = {
  id: randomUUID(),
  accountId: randomUUID(),
  name: 'createdAt',
  createdAt: new Date(5),
  updatedAt: new Date(6),
  desiredState: 'connected',
  numberJid: null,
  pairedAt: new Date(7),
  loggedOutAt: null,
  stopReason: null,
  stopWhatsappCode: null,
  stoppedAt: null,
}
const connect: CommandRequest = { instance, order: { kind: 'connect', phoneNumber: '15550001111' } }

const open = async (handlers: Partial<PeerHandlers> = {}, bearers = bearersOf(KEY)) => {
  const server = await listenForPeers(
    {
      states: () => TRUTH,
      command: async ({ instance: found }) => ({ from: NODE, instance: found, told: null }),
      take: async () => {},
      ...handlers,
    },
    { nodeId: NODE.id, address: { host: '127.0.0.1', port: 0 }, bearers, logger: silentLogger },
  )
  onTestFinished(() => server.close())
  return { ...NODE, address: server.address }
}

describe('a node that is asked by another', () => {
  const client = createPeerClient(bearersOf(KEY))

  test('is given orders with the instance as it is, and answers with it', async () => {
    const asked: CommandRequest[] = []
    const node = await open({
      command: async (request) => {
        asked.push(request)
        return { from: NODE, instance: request.instance, told: null }
      },
    })
    expect(await client.command(node, connect)).toEqual({ from: NODE, instance, told: null })
    expect(asked).toEqual([connect])
  })

  test('passes its refusals on as they are', async () => {
    const node = await open({
      command: async () => {
        throw new GatewayError('CONFLICT', 'Never paired', { retryAfter: 3 })
      },
    })
    await expect(client.command(node, connect)).rejects.toMatchObject({
      code: 'CONFLICT',
      message: 'Never paired',
      details: { retryAfter: 3 },
    })
  })

  test('says when an instance is not its own, or when it is not the node that was meant', async () => {
    const node = await open({
      command: async () => {
        throw new NotOwner()
      },
    })
    await expect(client.command(node, connect)).rejects.toBeInstanceOf(NotOwner)
    const other = { ...(await open()), id: randomUUID() }
    await expect(client.command(other, connect)).rejects.toBeInstanceOf(NotOwner)
  })

  test('answers nobody without the bearer', async () => {
    const node = await open()
    for (const authorization of [undefined, 'Bearer', `Bearer ${bearersOf(OTHER_KEY)[0]}`, bearersOf(KEY)[0]]) {
      const answer = await fetch(`http://${node.address}/states`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', ...(authorization && { authorization }) },
        body: JSON.stringify({ to: NODE.id, accounts: {} }),
      })
      expect(answer.status).toBe(401)
      expect(await answer.text()).toBe('{}')
    }
    await expect(createPeerClient(bearersOf(OTHER_KEY)).readStates(node, NOTHING)).rejects.toThrow('401')
  })

  test('understands nodes that have the key before its own, and nodes that have the next one', async () => {
    const ahead = await open({}, bearersOf(OTHER_KEY, KEY))
    expect(await client.readStates(ahead, NOTHING)).toEqual(TRUTH)
    const behind = await open()
    const clientAhead = createPeerClient(bearersOf(OTHER_KEY, KEY))
    expect(await clientAhead.readStates(behind, NOTHING)).toEqual(TRUTH)
  })

  test('refuses what has not the right form, and does nothing', async () => {
    let isAsked = false
    const node = await open({
      command: async (request) => {
        isAsked = true
        return { from: NODE, instance: request.instance, told: null }
      },
    })
    const order = { kind: 'explode' } as never
    await expect(client.command(node, { instance, order })).rejects.toMatchObject({ code: 'INTERNAL_SERVER_ERROR' })
    expect(isAsked).toBe(false)
  })
})

describe('a node that listens for the others', () => {
  const warningsOf = async (host: string, address: string) => {
    machine.more = { wan: [{ address, family: address.includes(':') ? 'IPv6' : 'IPv4', internal: false } as never] }
    onTestFinished(() => void (machine.more = {}))
    const lines: string[] = []
    const server = await listenForPeers(
      { states: () => TRUTH, command: async () => ({ from: NODE, instance, told: null }), take: async () => {} },
      {
        nodeId: NODE.id,
        address: { host, port: 0 },
        bearers: [],
        logger: pino({}, { write: (line) => lines.push(line) }),
      },
    )
    onTestFinished(() => server.close())
    return lines.map((line) => JSON.parse(line)).filter(({ level }) => level === 40)
  }

  test.each(['8.8.8.8', '2606:4700::1'])(
    'on all addresses of a machine warns once when one is public: %s',
    async (address) => {
      expect(await warningsOf('node-1', address)).toMatchObject([{ addresses: [address] }])
    },
  )

  test.each([
    ['node-1', '10.0.0.5'],
    ['node-1', 'fe80::1'],
    ['127.0.0.1', '8.8.8.8'],
  ])('where no public address is bound does not warn: at %s beside %s', async (host, address) => {
    expect(await warningsOf(host, address)).toEqual([])
  })
})

describe('a node that cannot be reached', () => {
  const client = createPeerClient(bearersOf(KEY))

  test('is told as a service that is away for a moment', async () => {
    const closed = createServer()
    await new Promise<void>((resolve) => closed.listen(0, '127.0.0.1', resolve))
    const address = `127.0.0.1:${(closed.address() as AddressInfo).port}`
    await new Promise((resolve) => closed.close(resolve))
    await expect(client.command({ ...NODE, address }, connect)).rejects.toMatchObject({
      code: 'SERVICE_UNAVAILABLE',
      details: { retryAfter: 5 },
      message: expect.stringContaining('cannot be reached'),
    })
  })

  test('is not waited for any longer than the deadline', async () => {
    const mute = createServer(() => {})
    await new Promise<void>((resolve) => mute.listen(0, '127.0.0.1', resolve))
    onTestFinished(() => {
      mute.closeAllConnections()
      mute.close()
    })
    const address = `127.0.0.1:${(mute.address() as AddressInfo).port}`
    const startedAt = performance.now()
    await expect(client.readStates({ ...NODE, address }, NOTHING)).rejects.toThrow('timeout')
    expect(performance.now() - startedAt).toBeLessThan(4_000)
  })
})
