import type { IncomingMessage, Server } from 'node:http'
import type { Socket } from 'node:net'

/** Connections on which nothing was asked yet: Node counts them as busy, and would wait for them. */
function trackSilentConnections(server: Server): ReadonlySet<Socket> {
  const silent = new Set<Socket>()
  // One for all connections: a closure would stay with each.
  function forget(this: Socket): void {
    silent.delete(this)
  }
  const hear = ({ socket }: IncomingMessage) => {
    if (silent.delete(socket)) socket.off('close', forget)
  }
  server.on('connection', (socket) => {
    silent.add(socket)
    socket.on('close', forget)
  })
  server.on('request', hear)
  server.on('upgrade', hear)
  return silent
}

/** So long a connection without a request is waited for: one may be on its way on it. */
const SILENCE_MS = 500

/**
 * To be called before the server listens. The returned function stops listening and resolves when running requests have
 * finished; those that take longer than `maxMs` are cut off, which it tells by true.
 */
export function prepareDrain(server: Server, maxMs: number): () => Promise<boolean> {
  const silent = trackSilentConnections(server)
  return async () => {
    let wasCutOff = false
    const closed = new Promise<void>((resolve) => server.close(() => resolve()))
    const endSilent = setTimeout(() => {
      for (const socket of silent) socket.destroy()
    }, SILENCE_MS)
    const cutOff = setTimeout(() => {
      wasCutOff = true
      server.closeAllConnections()
    }, maxMs)
    await closed
    clearTimeout(endSilent)
    clearTimeout(cutOff)
    return wasCutOff
  }
}
