// Many readers of one subscription, in a process of their own, so that what they need is not the gateway's. Told by its
// parent what to open, a token for each reader, it answers when all have a snapshot of so many instances; asked for a
// report, it answers with what they have read.
import { once } from 'node:events'
import { get, type IncomingMessage } from 'node:http'

export type Order = { url: string; tokens: string[]; instances: number } | 'report'
export type Report = {
  /** The last sequence of each instance, of readers that agree. */
  last: Record<string, number>
  /** Readers whose last sequences are other ones. */
  apart: number
  isOrdered: boolean
  mostEvents: number
}

type Reader = { last: Map<string, number>; events: number; isOrdered: boolean }

const QUERY = 'subscription { connectionChanged { instanceId connection { sequence } } }'
const readers: Reader[] = []

async function follow(url: string, token: string): Promise<Reader> {
  const reader = { last: new Map<string, number>(), events: 0, isOrdered: true }
  const asked = get(`${url}/graphql?query=${encodeURIComponent(QUERY)}`, {
    headers: { accept: 'text/event-stream', token },
    agent: false,
  })
  const [response] = (await once(asked, 'response')) as [IncomingMessage]
  if (response.statusCode !== 200) throw new Error(`A stream was answered with ${response.statusCode}`)
  let rest = ''
  response.setEncoding('utf8').on('data', (text: string) => {
    const lines = (rest + text).split('\n')
    rest = lines.pop() ?? ''
    for (const line of lines)
      if (line.startsWith('data: {')) note(reader, JSON.parse(line.slice(6)).data.connectionChanged)
  })
  return reader
}

type Event = { instanceId: string; connection: { sequence: number } }

function note(reader: Reader, { instanceId, connection: { sequence } }: Event): void {
  reader.isOrdered &&= sequence > (reader.last.get(instanceId) ?? -1)
  reader.events++
  reader.last.set(instanceId, sequence)
}

function report(): Report {
  const texts = readers.map(({ last }) => JSON.stringify([...last].toSorted()))
  return {
    last: Object.fromEntries(readers[0]?.last ?? []),
    apart: texts.filter((text) => text !== texts[0]).length,
    isOrdered: readers.every(({ isOrdered }) => isOrdered),
    mostEvents: Math.max(...readers.map(({ events }) => events)),
  }
}

process.on('message', async (order: Order) => {
  if (order === 'report') return void process.send?.(report())
  readers.push(...(await Promise.all(order.tokens.map((token) => follow(order.url, token)))))
  while (readers.some(({ last }) => last.size < order.instances))
    await new Promise((resolve) => setTimeout(resolve, 20))
  process.send?.(report())
})
