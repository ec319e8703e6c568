import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import fc from 'fast-check'
import { describe, expect, onTestFinished, test } from 'vitest'
import { WebSocket, WebSocketServer } from 'ws'
import { textFrame } from '../src/graphql/text-frame.ts'
import { bytesOf, jsonList, textOf } from '../src/http/bytes.ts'
import { rememberLast } from '../src/remember-last.ts'

const anyText = fc.string({
  unit: fc.oneof(fc.constantFrom('a', 'é', '名', '🙂', '\ud800', '"', '\n'), fc.string({ unit: 'grapheme' })),
})

describe('a text as bytes', () => {
  test('has a character for each byte of its UTF-8, and can be read again', () => {
    fc.assert(
      fc.property(anyText, (text) => {
        const bytes = bytesOf(text)
        expect(Buffer.from(bytes, 'latin1')).toEqual(Buffer.from(text))
        expect(textOf(bytes)).toBe(Buffer.from(text).toString())
      }),
    )
  })

  test('can be joined with others', () => {
    const items = ['é', '名', ''].map((text) => bytesOf(JSON.stringify(text)))
    expect(textOf(jsonList(items))).toBe('["é","名",""]')
  })
})

describe('a frame of a WebSocket', () => {
  test.each([0, 1, 125, 126, 127, 65_535, 65_536, 200_000])(
    'of %i bytes is read by a client as it was sent',
    async (length) => {
      const text = '名'.repeat(length / 3) + 'a'.repeat(length % 3)
      const sockets = new WebSocketServer({ noServer: true })
      const server = createServer().on('upgrade', (request, socket, head) =>
        sockets.handleUpgrade(request, socket, head, () => socket.write(textFrame(bytesOf(text)), 'latin1')),
      )
      server.listen(0, '127.0.0.1')
      await once(server, 'listening')
      const client = new WebSocket(`ws://127.0.0.1:${(server.address() as AddressInfo).port}`)
      onTestFinished(() => {
        client.terminate()
        server.close()
      })
      const [data, isBinary] = await once(client, 'message')
      expect(String(data)).toBe(text)
      expect(isBinary).toBe(false)
    },
  )
})

test('what is remembered is the same object while its arguments are the same, and another one afterwards', () => {
  const pair = rememberLast((left: object, right: number) => ({ left, right }))
  const left = {}
  const first = pair(left, 1)
  expect(pair(left, 1)).toBe(first)
  expect(pair(left, 2)).toEqual({ left, right: 2 })
  expect(pair({}, 2).left).not.toBe(left)
  expect(pair(left, 1)).not.toBe(first)
})
