import { createClient as createSseClient } from 'graphql-sse'
import { type Client, createClient as createWsClient } from 'graphql-ws'
import { onTestFinished, vi } from 'vitest'
import { WebSocket } from 'ws'
import { ConnectionChangedDocument } from './generated/graphql.ts'
import type { TestGateway } from './testkit.ts'

/** What a client of a stream was given so far, and how it ended. */
export type Reader = {
  results: any[]
  /** The data of the first root field of each result. */
  events: any[]
  outcome: { kind: 'open' } | { kind: 'complete' } | { kind: 'error'; error: any }
  /** Waits for so many results. */
  received(count: number): Promise<any[]>
  ended(): Promise<Exclude<Reader['outcome'], { kind: 'open' }>>
  stop(): void
}

type Payload = { query: string; variables?: Record<string, unknown> }
type Subscribe = (payload: Payload, sink: { next(r: any): void; error(e: any): void; complete(): void }) => () => void

function read(subscribe: Subscribe, payload: Payload): Reader {
  const reader: Reader = {
    results: [],
    get events() {
      return this.results.map(({ data }) => data && Object.values(data)[0])
    },
    outcome: { kind: 'open' },
    received: (count) =>
      vi.waitFor(
        () => {
          if (reader.results.length < count) throw new Error(`${reader.results.length} of ${count} results came`)
          return reader.events
        },
        { timeout: 5_000, interval: 5 },
      ),
    ended: () =>
      vi.waitFor(
        () => {
          if (reader.outcome.kind === 'open') throw new Error('The stream is still open')
          return reader.outcome
        },
        { timeout: 10_000, interval: 5 },
      ),
    stop: () => stop(),
  }
  const stop = subscribe(payload, {
    next: (result) => void reader.results.push(result),
    error: (error) => void (reader.outcome = { kind: 'error', error }),
    complete: () => void (reader.outcome = { kind: 'complete' }),
  })
  onTestFinished(stop)
  return reader
}

export const CONNECTIONS: string = ConnectionChangedDocument.toString()

/** Reads with the client of graphql-sse. */
export function readSse(gateway: { url: string }, token: string, query = CONNECTIONS, variables = {}): Reader {
  const client = createSseClient({ url: `${gateway.url}/graphql`, headers: { token }, retryAttempts: 0 })
  return read((payload, sink) => client.subscribe(payload, sink as any), { query, variables })
}

export const wsUrl = (gateway: TestGateway) => `${gateway.url.replace('http', 'ws')}/graphql`

/** A client of graphql-ws that sends its token with `connection_init`, and all that it was told. */
export function connectWs(
  gateway: TestGateway,
  token: string,
): { client: Client; closes: { code: number; reason: string }[]; read(query?: string, variables?: object): Reader } {
  const closes: { code: number; reason: string }[] = []
  const client = createWsClient({
    url: wsUrl(gateway),
    webSocketImpl: WebSocket,
    connectionParams: { token },
    retryAttempts: 0,
    on: { closed: (event) => void closes.push(event as never) },
  })
  onTestFinished(async () => {
    await client.dispose()
  })
  return {
    client,
    closes,
    read: (query = CONNECTIONS, variables = {}) =>
      read((payload, sink) => client.subscribe(payload, sink as any), {
        query,
        variables: variables as Record<string, unknown>,
      }),
  }
}

/** The same reader over either transport. */
export const TRANSPORTS = [
  ['SSE', readSse],
  [
    'WebSocket',
    (gateway: TestGateway, token: string, query?: string, variables?: object) =>
      connectWs(gateway, token).read(query, variables),
  ],
] as const
