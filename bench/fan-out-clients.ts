// The readers of W5, in a process of their own: bare sockets that look for the stamps in what they are sent and for
// nothing else, so that the server is what is measured. It prints a line when all have their snapshot, and one with the
// figures of each burst: fan-out-clients.js sse|ws PORT READERS INSTANCES EVENTS TOKEN…
import { randomBytes } from 'node:crypto'
import { connect, type Socket } from 'node:net'
import { setTimeout } from 'node:timers/promises'
import { quantile } from './report.ts'

const [transport, port, readers, instances, events, ...tokens] = process.argv.slice(2)
const [READERS, INSTANCES, EVENTS] = [Number(readers), Number(instances), Number(events)]
const STREAMS_OF_A_TOKEN = 20
const OPENING_AT_ONCE = 50

export const QUERY = 'subscription { connectionChanged { instanceId connection { state sequence } } }'
const STAMP = Buffer.from('"sequence":')
const stampNow = () => Number(process.hrtime.bigint() / 1_000n)

const startedAt = stampNow()
let snapshots = 0
let firstStamp = Number.POSITIVE_INFINITY
let latencies: number[] = []

const opening = {
  sse: (token: string) =>
    `GET /graphql?query=${encodeURIComponent(QUERY)} HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\nToken: ${token}\r\n\r\n`,
  ws: (token: string) =>
    `GET /graphql HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n` +
    `Sec-WebSocket-Protocol: graphql-transport-ws\r\nSec-WebSocket-Key: ${randomBytes(16).toString('base64')}\r\nToken: ${token}\r\n\r\n`,
}

/** A text frame of a client, masked with zeros. */
function frame(message: object): Buffer {
  const text = Buffer.from(JSON.stringify(message))
  const head = text.length < 126 ? [0x81, 0x80 | text.length] : [0x81, 0xfe, text.length >> 8, text.length & 255]
  return Buffer.concat([Buffer.from([...head, 0, 0, 0, 0]), text])
}

function look(data: Buffer): void {
  const now = stampNow()
  for (let at = data.indexOf(STAMP); at !== -1; at = data.indexOf(STAMP, at + STAMP.length)) {
    const stamp = Number.parseInt(data.toString('latin1', at + STAMP.length, at + STAMP.length + 16), 10)
    // Older than this process: what bursts for the readers before it have left, told as a snapshot.
    if (stamp < startedAt) snapshots++
    else {
      firstStamp = Math.min(firstStamp, stamp)
      latencies.push(now - stamp)
    }
  }
}

/** A pong that nobody asked for, since nobody here looks for pings. */
const PONG = Buffer.from([0x8a, 0x80, 0, 0, 0, 0])
const PONG_EVERY_MS = 8_000

/** A stamp may be cut in two: the end of what came waits for the rest. */
function follow(socket: Socket): void {
  let rest: Buffer | null = null
  socket.on('data', (data) => {
    const all = rest ? Buffer.concat([rest, data]) : data
    const end = all.lastIndexOf('}') + 1
    if (end > 0) look(all.subarray(0, end))
    rest = end < all.length && end > 0 ? Buffer.from(all.subarray(end)) : end > 0 ? null : all
  })
}

async function open(token: string): Promise<void> {
  const socket = connect(Number(port), '127.0.0.1')
  socket.on('error', (error) => {
    throw error
  })
  await new Promise((resolve) => socket.once('connect', resolve))
  if (transport === 'ws') {
    socket.write(opening.ws(token))
    const hello = await new Promise<Buffer>((resolve) => socket.once('data', resolve))
    if (!hello.includes(' 101 ')) throw new Error(String(hello))
    look(hello)
    follow(socket)
    socket.write(frame({ type: 'connection_init' }))
    await new Promise<void>((resolve) => {
      const wait = (data: Buffer) => {
        if (!data.includes('connection_ack')) return
        socket.off('data', wait)
        resolve()
      }
      socket.on('data', wait)
    })
    socket.write(frame({ id: '1', type: 'subscribe', payload: { query: QUERY } }))
    setInterval(() => socket.write(PONG), PONG_EVERY_MS)
  } else {
    follow(socket)
    socket.write(opening.sse(token))
  }
}

const waitFor = async (isThere: () => boolean, what: () => string) => {
  const deadline = Date.now() + 120_000
  while (!isThere()) {
    if (Date.now() > deadline) throw new Error(`${what()} after two minutes`)
    await setTimeout(5)
  }
}

for (let index = 0; index < READERS; index += OPENING_AT_ONCE) {
  const those = Array.from({ length: Math.min(OPENING_AT_ONCE, READERS - index) }, (_, offset) => index + offset)
  await Promise.all(those.map((reader) => open(tokens[Math.floor(reader / STREAMS_OF_A_TOKEN)] ?? '')))
}
await waitFor(
  () => snapshots === READERS * INSTANCES,
  () => `${snapshots} of ${READERS * INSTANCES} snapshot events came`,
)
process.stdout.write('open\n')

for (;;) {
  await waitFor(
    () => latencies.length >= READERS * EVENTS,
    () => `${latencies.length} of ${READERS * EVENTS} deliveries came`,
  )
  const tookUs = stampNow() - firstStamp
  const sorted = latencies.toSorted((a, b) => a - b)
  const figures = {
    perSecond: (latencies.length * 1_000_000) / tookUs,
    p50Ms: quantile(sorted, 0.5) / 1_000,
    p99Ms: quantile(sorted, 0.99) / 1_000,
  }
  latencies = []
  firstStamp = Number.POSITIVE_INFINITY
  process.stdout.write(`${JSON.stringify(figures)}\n`)
}
