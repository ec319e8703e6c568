/** What an opening does instead of succeeding, before anybody knows whose it is. */
export type UpgradeFault =
  | { kind: 'reset' }
  | { kind: 'http'; status: number; headers?: Record<string, string> }
  | { kind: 'no-upgrade' }
  | { kind: 'no-hello' }
  | { kind: 'bad-certificate' }

/** What an opening does once the client has said who it is. Pings are answered all the same. */
export type LoginFault =
  | { kind: 'no-login' }
  | { kind: 'failure'; reason: number; attributes?: Record<string, string> }
  | { kind: 'stream-error'; code?: number; children?: string[] }
  | { kind: 'downgrade' }
  | { kind: 'garbage' }

export type OpeningFault = UpgradeFault | LoginFault

const LOGIN_KINDS = new Set<string>(['no-login', 'failure', 'stream-error', 'downgrade', 'garbage'])

export const isLoginFault = (fault: OpeningFault): fault is LoginFault => LOGIN_KINDS.has(fault.kind)

/** A fault with the number of openings it still has to spoil. */
export class PlannedFault<Fault> {
  #fault: Fault | null = null
  #left = 0

  plan(fault: Fault, times: number): void {
    this.#fault = fault
    this.#left = times
  }

  take(): Fault | null {
    if (this.#left <= 0) return null
    this.#left -= 1
    return this.#fault
  }

  clear(): void {
    this.#left = 0
  }
}
