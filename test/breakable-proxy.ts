import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import { freePort } from './free-port.ts'

/** A TCP proxy in front of PostgreSQL, to take the database away from a gateway without stopping it for others. */
export type BreakableProxy = {
  /** The address of the database through the proxy. */
  url: string
  /** Ends all connections and refuses new ones. */
  cut(): Promise<void>
  /** Keeps all connections, takes new ones, and passes nothing on. */
  hang(): void
  /** Passes everything on again, also what was held back. */
  restore(): Promise<void>
  /** Passes on what comes over new connections; those that hang stay silent, as after a change of servers. */
  restoreForNewConnections(): void
  close(): Promise<void>
}

export async function startBreakableProxy(databaseUrl: string): Promise<BreakableProxy> {
  const target = new URL(databaseUrl)
  const sockets = new Set<Socket>()
  let isHanging = false

  const track = (socket: Socket, other: Socket) => {
    sockets.add(socket)
    socket.once('close', () => {
      sockets.delete(socket)
      other.destroy()
    })
    // A broken connection is closed as well, and that is all there is to know.
    socket.on('error', () => {})
    socket.on('data', (bytes) => other.write(bytes))
    if (isHanging) socket.pause()
  }
  const server = createServer((client) => {
    const upstream = connect(Number(target.port || 5432), target.hostname)
    track(client, upstream)
    track(upstream, client)
  })

  const listen = async (port: number) => {
    server.listen(port, '127.0.0.1')
    await once(server, 'listening')
  }
  const cut = async () => {
    if (!server.listening) return
    const closed = once(server, 'close')
    server.close()
    for (const socket of sockets) socket.destroy()
    await closed
  }
  const port = await freePort()
  await listen(port)

  return {
    url: Object.assign(new URL(databaseUrl), { host: `127.0.0.1:${port}` }).href,
    cut,
    hang: () => {
      isHanging = true
      for (const socket of sockets) socket.pause()
    },
    restore: async () => {
      isHanging = false
      for (const socket of sockets) socket.resume()
      if (!server.listening) await listen(port)
    },
    restoreForNewConnections: () => {
      isHanging = false
    },
    close: cut,
  }
}
