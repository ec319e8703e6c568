import type { Server } from 'node:http'
import type { AddressInfo } from 'node:net'

/**
 * Lets a server listen; returns where, e.g. `http://127.0.0.1:4000`.
 * @param variable names the port in the configuration, for the advice when it cannot be had
 */
export function bind(
  server: Server,
  { host, port, variable }: { host: string; port: number; variable: string },
): Promise<string> {
  return new Promise((resolve, reject) => {
    const fail = (error: NodeJS.ErrnoException) => {
      const advice = new Map([
        ['EADDRINUSE', `Set ${variable} to a free port`],
        ['EADDRNOTAVAIL', `This machine has no address ${host}`],
        ['EACCES', `Set ${variable} to a port that this user may listen on`],
      ]).get(error.code ?? '')
      reject(advice ? new Error(`${error.message}. ${advice}`, { cause: error }) : error)
    }
    server.once('error', fail).listen(port, host, () => {
      server.off('error', fail)
      const { address, family, port: actualPort } = server.address() as AddressInfo
      resolve(`http://${family === 'IPv6' ? `[${address}]` : address}:${actualPort}`)
    })
  })
}
