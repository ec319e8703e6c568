// A server of W5 in a process of its own: the gateway, or plain sockets that are written ready texts. It prints its port
// and obeys lines on its standard input: `burst N` tells N changes, each of another instance; `weigh` prints its memory.
// fan-out-server.js gateway ACCOUNT_ID | plain INSTANCES
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Session } from 'node:inspector/promises'
import { createInterface } from 'node:readline'
import { setImmediate } from 'node:timers/promises'
import { pino } from 'pino'
import { WebSocketServer } from 'ws'
import { readConfig } from '../src/config.ts'
import { startGateway } from '../src/gateway.ts'
import { listInstances } from '../src/instance/queries.ts'

type Server = {
  port: number
  /** Tells everybody of a change of one instance; the stamp goes with it as its sequence. */
  tell(index: number, stamp: number): void
}

/** Microseconds of the machine's clock, which the clients read, too. */
const stampNow = () => Number(process.hrtime.bigint() / 1_000n)

/** The gateway, with states that change when they are told to; everything from there on is its own. */
async function startGatewayServer(accountId: string): Promise<Server> {
  const gateway = await startGateway({ ...readConfig('gateway'), port: 0 }, pino({ level: 'silent' }))
  const { sessions, db } = gateway.services
  const instances = await listInstances(db, { kind: 'account', accountId })
  const stamps = new Map<string, number>()
  const statusOf = sessions.statusOf.bind(sessions)
  sessions.statusOf = (instance) => ({ ...statusOf(instance), sequence: stamps.get(instance.id) ?? 0 })
  return {
    port: Number(new URL(gateway.url).port),
    tell: (index, stamp) => {
      const instance = instances[index]
      if (!instance) throw new Error(`There is no instance ${index}`)
      stamps.set(instance.id, stamp)
      sessions.connectionTicks.publish(accountId, { kind: 'changed', instance })
    },
  }
}

const textOf = (index: number, stamp: number) =>
  `{"data":{"connectionChanged":{"instanceId":"00000000-0000-4000-8000-${String(index).padStart(12, '0')}",` +
  `"connection":{"state":"DISCONNECTED","sequence":${stamp}}}}}`
const asEvent = (text: string) => `event: next\ndata: ${text}\n\n`
const asMessage = (text: string) => `{"id":"1","type":"next","payload":${text}}`

/** The least that can be done: each socket is written the text. It begins with a snapshot, as the gateway does. */
async function startPlainServer(instanceCount: number): Promise<Server> {
  const indices = Array.from({ length: instanceCount }, (_, index) => index)

  const responses = new Set<ServerResponse>()
  const server = createServer((_request, response) => {
    response.writeHead(200, { 'Content-Type': 'text/event-stream; charset=utf-8' })
    for (const index of indices) response.write(asEvent(textOf(index, 0)))
    responses.add(response)
    response.once('close', () => responses.delete(response))
  })
  const sockets = new WebSocketServer({ server, perMessageDeflate: false })
  sockets.on('connection', (socket) => {
    socket.once('message', () => socket.send('{"type":"connection_ack"}'))
    for (const index of indices) socket.send(asMessage(textOf(index, 0)))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', 4_096, resolve))
  return {
    port: (server.address() as AddressInfo).port,
    tell: (index, stamp) => {
      const text = textOf(index, stamp)
      const event = asEvent(text)
      for (const response of responses) response.write(event)
      const message = asMessage(text)
      for (const socket of sockets.clients) socket.send(message)
    },
  }
}

const [kind, subject = ''] = process.argv.slice(2)
const { port, tell } = await (kind === 'gateway' ? startGatewayServer(subject) : startPlainServer(Number(subject)))
process.stdout.write(`listening on ${port}\n`)

/** Has V8 collect as it does by itself in a process at rest, where it gives memory back; `gc()` keeps it for later. */
const collector = new Session()
collector.connect()

for await (const line of createInterface({ input: process.stdin })) {
  const [order, count] = line.split(' ')
  if (order === 'burst') {
    for (let index = 0; index < Number(count); index++) {
      tell(index, stampNow())
      await setImmediate()
    }
  } else if (order === 'weigh') {
    await collector.post('HeapProfiler.collectGarbage')
    const { rss, heapUsed } = process.memoryUsage()
    process.stdout.write(`${JSON.stringify({ rss, heapUsed })}\n`)
  }
}
process.exit()
