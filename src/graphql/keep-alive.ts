import type { WebSocket } from 'ws'

const PING_MS = 12_000

/** Pings a socket while it is open; one that has not answered the ping before, because it is gone or reads nothing, is cut off. */
export function keepAlive(socket: WebSocket, pingMs = PING_MS): void {
  let hasAnswered = true
  const pinging = setInterval(() => {
    if (!hasAnswered) return socket.terminate()
    hasAnswered = false
    socket.ping()
  }, pingMs)
  socket.on('pong', () => {
    hasAnswered = true
  })
  socket.once('close', () => clearInterval(pinging))
}
