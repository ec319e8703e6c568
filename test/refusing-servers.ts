import { once } from 'node:events'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { onTestFinished } from 'vitest'

/** What a server does with whoever connects. */
export type Refusal = (socket: Socket) => void

/** Starts a server for one test that lets nobody in; returns its port. */
export async function startRefusingServer(refuse: Refusal): Promise<number> {
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    sockets.add(socket.on('error', () => {}))
    refuse(socket)
  }).listen(0, '127.0.0.1')
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  await once(server, 'listening')
  return (server.address() as AddressInfo).port
}

/** Greets, as MariaDB 11.4 does before it is asked; the length in front is PostgreSQL's letter for a login. */
export const mariadb: Refusal = (socket) => {
  const greeting = Buffer.from(
    '\x0a11.4.2-MariaDB\0\x09\0\0\0abcdefgh\0\xfe\xf7\x08\x02\0\xff\xc1\x15' +
      '\0'.repeat(10) +
      'abcdefghijkl\0mysql_native_password\0',
    'latin1',
  )
  socket.write(Buffer.concat([Buffer.from([greeting.length, 0, 0, 0]), greeting]))
}

export const http: Refusal = (socket) => void socket.once('data', () => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n'))

export const ssh: Refusal = (socket) => void socket.write('SSH-2.0-OpenSSH_9.2\r\n')

export const silence: Refusal = (socket) => void socket.resume()

export const hangUp: Refusal = (socket) => void socket.end()

/** The messages that PostgreSQL answers a login with, one after the other. */
const postgres =
  (...messages: Buffer[]): Refusal =>
  (socket) => {
    const left = [...messages]
    socket.on('data', () => void socket.write(left.shift() ?? ''))
  }

function message(type: string, body: string): Buffer {
  const length = Buffer.alloc(4)
  length.writeUInt32BE(body.length + length.length)
  return Buffer.concat([Buffer.from(type), length, Buffer.from(body, 'latin1')])
}

/** PostgreSQL that refuses a login with an SQLSTATE. */
export const refusingLogin = (code: string, reason: string): Refusal =>
  postgres(message('E', `SFATAL\0VFATAL\0C${code}\0M${reason}\0\0`))

/** PostgreSQL that asks for a password. */
export const askingForPassword: Refusal = postgres(
  message('R', '\0\0\0\x0aSCRAM-SHA-256\0\0'),
  message('R', '\0\0\0\x0br=nonce,s=c2FsdA==,i=4096'),
)
