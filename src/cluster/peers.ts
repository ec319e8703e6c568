import { GatewayError, type ErrorCode, type ErrorDetails } from '../errors.ts'
import type { SessionOrder } from '../session/remote.ts'
import { NotOwner } from '../session/remote.ts'
import type { NodeRef } from './node.ts'
import {
  type CommandAnswer,
  type CommandRequest,
  parseWire,
  type StatesAnswer,
  type StatesRequest,
  type TakeRequest,
} from './wire.ts'

/** How long a node is waited for; a logout waits for WhatsApp, and a pause for a link to end. */
const STATES_DEADLINE_MS = 2_000
const COMMAND_DEADLINE_MS = 10_000
const LOGOUT_DEADLINE_MS = 25_000
/** What a node answers that does not own the instance, or is not the one that was meant. (Clients try again by themselves after 421.) */
export const NOT_MINE = 410

/** A node and where it is. */
export type PeerAddress = NodeRef & { address: string | null }

/** An error as one node tells it to another. */
export type ToldError = { code: ErrorCode; message: string; details: ErrorDetails }

/** What a node asks of another one. */
export type PeerClient = {
  /** @throws when it does not answer in time */
  readStates(peer: PeerAddress, request: StatesRequest): Promise<StatesAnswer>
  /** @throws NotOwner, and GatewayError: what the owner says, or SERVICE_UNAVAILABLE when it cannot be reached */
  command(peer: PeerAddress, request: CommandRequest): Promise<CommandAnswer>
  /** @throws when it does not answer in time */
  take(peer: PeerAddress, request: TakeRequest): Promise<void>
}

const unreachable = (message: string) => new GatewayError('SERVICE_UNAVAILABLE', message, { retryAfter: 5 })

/** Asks other nodes over HTTP. @param bearers the first is shown; the second to a node that does not know it yet */
export function createPeerClient(bearers: readonly string[]): PeerClient {
  const ask = async (peer: PeerAddress, operation: string, body: object, deadlineMs: number): Promise<Response> => {
    const { id: to, address } = peer
    if (address === null) throw new NotOwner()
    const signal = AbortSignal.timeout(deadlineMs)
    const text = JSON.stringify({ to, ...body })
    for (const [index, bearer] of bearers.entries()) {
      const answer = await fetch(`http://${address}/${operation}`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', authorization: `Bearer ${bearer}` },
        body: text,
        redirect: 'error',
        signal,
      })
      const isLast = index === bearers.length - 1
      if (answer.status !== 401 || isLast) return answer
      await answer.body?.cancel()
    }
    throw new Error('There is nothing to show to another node')
  }

  const read = async <Answer>(answer: Response): Promise<Answer> => {
    if (answer.ok) return parseWire<Answer>(await answer.text())
    await answer.body?.cancel()
    if (answer.status === NOT_MINE) throw new NotOwner()
    throw new Error(`The node answered with HTTP ${answer.status}`)
  }

  return {
    readStates: async (peer, request) => read(await ask(peer, 'states', request, STATES_DEADLINE_MS)),
    take: async (peer, request) => void (await read(await ask(peer, 'take', request, COMMAND_DEADLINE_MS))),
    command: async (peer, request) => {
      try {
        const answer = await ask(peer, 'command', request, deadlineOf(request.order))
        if (answer.headers.get('x-told-error') !== '1') return await read<CommandAnswer>(answer)
        const { code, message, details } = (await answer.json()) as ToldError
        throw new GatewayError(code, message, details)
      } catch (error) {
        if (error instanceof GatewayError || error instanceof NotOwner) throw error
        const isLate = (error as Error).name === 'TimeoutError'
        throw Object.assign(
          unreachable(
            isLate
              ? 'The node that runs the session has not answered in time; the command may act yet. Look at the connection, then try again'
              : 'The node that runs the session cannot be reached. Try again in a few seconds',
          ),
          { cause: error },
        )
      }
    },
  }
}

const deadlineOf = ({ kind }: SessionOrder): number => (kind === 'logOut' ? LOGOUT_DEADLINE_MS : COMMAND_DEADLINE_MS)
