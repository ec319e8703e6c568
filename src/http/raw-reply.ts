import { randomUUID } from 'node:crypto'
import type { Duplex } from 'node:stream'

/** The error envelope on a socket that has no response object. */
export function replyRaw(
  socket: Duplex,
  status: string,
  message: string,
  { requestId = randomUUID() as string, headers = [] as readonly string[] } = {},
): void {
  const body = JSON.stringify({ success: false, error: { message } })
  const lines = [
    'Content-Type: application/json; charset=utf-8',
    `Content-Length: ${Buffer.byteLength(body)}`,
    'Cache-Control: private, no-cache',
    'Vary: token, authorization, origin',
    `X-Request-Id: ${requestId}`,
    ...headers,
    'Connection: close',
  ]
  socket.end(`HTTP/1.1 ${status}\r\n${lines.join('\r\n')}\r\n\r\n${body}`)
}
