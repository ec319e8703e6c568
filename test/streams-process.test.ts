import { once } from 'node:events'
import { afterAll, beforeAll, expect, onTestFinished, test, vi } from 'vitest'
import { WebSocket } from 'ws'
import { type GatewayProcess, runCli, startGatewayProcess } from './child.ts'
import { removeDataDir } from './data-dir.ts'
import { createTempDir } from './testkit.ts'

let gateway: GatewayProcess
let shop: { token: string }
const DATA_DIR = createTempDir()
const cli = async (...command: string[]) => JSON.parse((await runCli([...command, '--json'], { DATA_DIR })).stdout)
beforeAll(async () => {
  gateway = await startGatewayProcess({ DATA_DIR, DEMO: 'false' })
  shop = await cli('account', 'create', 'shop')
})
afterAll(async () => {
  await gateway.kill()
  removeDataDir(DATA_DIR)
})

const QUERY = 'subscription { connectionChanged { kind instanceName } }'

/** The text of an event stream as it grows. */
async function follow(token: string) {
  const response = await fetch(`${gateway.url}/graphql?query=${encodeURIComponent(QUERY)}`, {
    headers: { token, accept: 'text/event-stream' },
  })
  const stream = { text: '' }
  response.body
    ?.pipeThrough(new TextDecoderStream())
    .pipeTo(new WritableStream({ write: (text) => void (stream.text += text) }))
    .catch(() => undefined)
  return stream
}

test('commands that go through the gateway are told to its streams', async () => {
  const stream = await follow(shop.token)
  const sales = await cli('instance', 'create', 'shop', 'sales')
  await vi.waitFor(() => expect(stream.text).toContain('{"kind":"ADDED","instanceName":"sales"}'))
  const own = await follow(sales.token)
  await vi.waitFor(() => expect(own.text).toContain('SNAPSHOT'))
  const { tokens } = await cli('token', 'list', 'shop')
  await cli('token', 'revoke', tokens.find(({ kind }: { kind: string }) => kind === 'instance').id)
  await vi.waitFor(() => expect(own.text).toContain('UNAUTHENTICATED'), { timeout: 5_000 })
  expect(own.text).toMatch(/event: complete\ndata:\n\n$/)
  await cli('instance', 'delete', 'shop', 'sales')
  await vi.waitFor(() => expect(stream.text).toContain('{"kind":"REMOVED","instanceName":"sales"}'))
})

test('an idle stream is kept alive over both transports, and ends with a reason when the process is stopped', async () => {
  const stream = await follow(shop.token)
  const socket = new WebSocket(`${gateway.url.replace('http', 'ws')}/graphql`, 'graphql-transport-ws', {
    headers: { token: shop.token },
  })
  onTestFinished(() => socket.terminate())
  await once(socket, 'open')
  socket.send('{"type":"connection_init"}')
  await once(socket, 'message')
  socket.send(JSON.stringify({ id: '1', type: 'subscribe', payload: { query: QUERY } }))
  const pinged = once(socket, 'ping')
  await vi.waitFor(() => expect(stream.text).toBe(':\n\n:\n\n'), { timeout: 14_000, interval: 100 })
  await pinged
  const closed = once(socket, 'close')
  const { code, ms } = await gateway.stop()
  expect(code).toBe(0)
  expect(ms).toBeLessThan(5_000)
  expect(stream.text).toMatch(/"code":"SERVICE_UNAVAILABLE".*\n\nevent: complete\ndata:\n\n$/)
  expect((await closed)[0]).toBe(1012)
  expect(gateway.stderr()).not.toContain(shop.token)
})
