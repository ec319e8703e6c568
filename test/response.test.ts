import { createServer, type ServerResponse } from 'node:http'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { expect, onTestFinished, test } from 'vitest'
import { GatewayResponse } from '../src/http/response.ts'

/** The answer of a server that does this with a response. */
async function answerOf(reply: (response: ServerResponse) => void): Promise<Response> {
  const server = createServer({ ServerResponse: GatewayResponse }, (_request, response) => {
    reply(response)
    response.end()
  }).listen(0, '127.0.0.1')
  onTestFinished(() => void server.close())
  await once(server, 'listening')
  return fetch(`http://127.0.0.1:${(server.address() as AddressInfo).port}`)
}

test('a header that is set again has its last value, one that is taken back is not sent', async () => {
  const { status, headers } = await answerOf((response) => {
    response.setHeader('Vary', 'token').setHeader('Allow', 'GET').setHeader('Retry-After', 3).setHeader('Vary', 'Allow')
    response.removeHeader('Allow')
    response.removeHeader('Never-Set')
    expect(response.hasHeader('Allow')).toBe(false)
    expect(response.getHeader('Allow')).toBeUndefined()
    expect(response.getHeader('Vary')).toBe('Allow')
    expect(response.hasHeader('Retry-After')).toBe(true)
    response.writeHead(429, { 'Retry-After': 4, Link: ['<a>', '<b>'] })
  })
  expect(status).toBe(429)
  expect(headers.get('allow')).toBeNull()
  expect(headers.get('never-set')).toBeNull()
  expect(headers.get('vary')).toBe('Allow')
  expect(headers.get('retry-after')).toBe('4')
  expect(headers.get('link')).toBe('<a>, <b>')
})

test('a reason goes with its headers, and a status without a head of its own has those that were set', async () => {
  expect(await answerOf((response) => response.writeHead(418, 'Teapot', { Allow: 'BREW' }))).toMatchObject({
    status: 418,
    statusText: 'Teapot',
  })
  const { headers } = await answerOf((response) => response.setHeader('Allow', 'GET'))
  expect(headers.get('allow')).toBe('GET')
})

test('headers that Node refuses are kept for the answer that follows', async () => {
  const { status, headers } = await answerOf((response) => {
    response.setHeader('Vary', 'token')
    expect(() => response.writeHead(200, { Link: 'a\nb' })).toThrow(/Invalid character/)
    response.writeHead(500)
  })
  expect(status).toBe(500)
  expect(headers.get('vary')).toBe('token')
})
