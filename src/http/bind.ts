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
        ['EADDRNOTAVAIL', noAddress(host)],
        ['ENOTFOUND', noAddress(host)],
        ['EAI_AGAIN', noAddress(host)],
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

const noAddress = (host: string): string =>
  `This machine has no address ${host}. Set HOST to one of its own, 127.0.0.1 for itself alone, or 0.0.0.0 for all`
