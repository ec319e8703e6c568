import { once } from 'node:events'
import { createServer } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import { setTimeout } from 'node:timers/promises'
import { expect, onTestFinished, test } from 'vitest'
import { prepareDrain } from '../src/http/drain.ts'

/** A server, and a connection that it has accepted and on which nothing was asked yet. */
async function connectToServer() {
  const server = createServer((_request, response) => response.setHeader('Connection', 'close').end('served'))
  const drain = prepareDrain(server, 5_000)
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const socket = connect((server.address() as AddressInfo).port, '127.0.0.1').setEncoding('utf8')
  onTestFinished(() => void socket.destroy())
  await once(server, 'connection')
  return { drain, socket }
}

test('a stop answers what arrives on a connection that was just made', async () => {
  const { drain, socket } = await connectToServer()
  const drained = drain()
  await setTimeout(50)
  socket.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n')
  const answer = await socket.toArray()
  expect(answer.join('')).toMatch(/^HTTP\/1.1 200 [^]*served/)
  expect(await drained).toBe(false)
})

test('a stop waits half a second for a connection that stays silent, and no longer', async () => {
  const { drain } = await connectToServer()
  const startedAt = performance.now()
  expect(await drain()).toBe(false)
  const ms = performance.now() - startedAt
  expect(ms).toBeGreaterThan(400)
  expect(ms).toBeLessThan(3_000)
})
