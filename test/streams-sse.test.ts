import { once } from 'node:events'
import { createServer, type ServerResponse } from 'node:http'
import { type AddressInfo, connect, type Socket } from 'node:net'
import { afterAll, beforeAll, describe, expect, onTestFinished, test, vi } from 'vitest'
import { serviceUnavailable } from '../src/errors.ts'
import type { Call } from '../src/graphql/call.ts'
import { EventStream } from '../src/graphql/event-stream.ts'
import { EventText } from '../src/graphql/event-text.ts'
import { KeepAlive } from '../src/graphql/keep-alive.ts'
import { SseReplies } from '../src/graphql/sse.ts'
import { Source } from '../src/source.ts'
import type { TokenWatch } from '../src/token/watch.ts'
import { seed, type SeededAccount } from './seed.ts'
import { CONNECTIONS, readSse } from './stream-clients.ts'
import { startTestGateway, type TestGateway } from './testkit.ts'

const ORIGIN = 'https://app.example.com'

let gateway: TestGateway
let shop: SeededAccount
beforeAll(async () => {
  gateway = await startTestGateway({ corsOrigins: [ORIGIN] })
  shop = await seed(gateway.services.db).account('shop')
  await shop.instance('sales')
})
afterAll(() => gateway.close())

const EVENTS = 'text/event-stream'
const ask = (query: string, headers: Record<string, string> = {}, init: RequestInit = {}) =>
  fetch(`${gateway.url}/graphql`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', accept: EVENTS, token: shop.token, ...headers },
    body: JSON.stringify({ query }),
    ...init,
  })

/** Reads a body until it contains the text, and lets go of it. */
async function readUntil(response: Response, text: string): Promise<string> {
  const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader()
  let read = ''
  for (let part = await reader?.read(); part?.value !== undefined; part = await reader?.read()) {
    read += part.value
    if (read.includes(text)) break
  }
  await reader?.cancel()
  return read
}

describe('a subscription', () => {
  test('is answered with events by POST and by GET, with the headers of the limit', async () => {
    const get = `${gateway.url}/graphql?query=${encodeURIComponent(CONNECTIONS)}&variables=${encodeURIComponent('{"names":["sales"]}')}`
    for (const response of [
      await ask(CONNECTIONS, { origin: ORIGIN }),
      await fetch(get, { headers: { accept: EVENTS, authorization: `Bearer ${shop.token}`, origin: ORIGIN } }),
    ]) {
      expect(response.status).toBe(200)
      expect(response.headers.get('content-type')).toBe('text/event-stream; charset=utf-8')
      expect(response.headers.get('x-ratelimit-limit')).toBe('1000000')
      expect(response.headers.get('access-control-allow-origin')).toBe(ORIGIN)
      const text = await readUntil(response, '"SNAPSHOT"')
      expect(text).toMatch(/^:\n\n(event: next\ndata: {"data":{"connectionChanged":{"kind":"SNAPSHOT".*\n\n)?/)
    }
  })

  test.each([
    ['without a token', { token: '' }, 401, 'UNAUTHENTICATED'],
    ['with an unknown token', { token: 'unknown' }, 401, 'UNAUTHENTICATED'],
    ['when events are not accepted', { accept: 'application/json' }, 406, 'BAD_USER_INPUT'],
    ['when anything is accepted, which is a single answer', { accept: '*/*' }, 406, 'BAD_USER_INPUT'],
    ['with a body of another type', { 'content-type': 'text/plain' }, 415, 'BAD_USER_INPUT'],
  ])('is refused with a status %s', async (_how, headers, status, code) => {
    const response = await ask(CONNECTIONS, headers)
    expect(response.status).toBe(status)
    expect(await response.json()).toMatchObject({ errors: [{ extensions: { code } }] })
  })

  test('takes no token from the query string', async () => {
    const query = `token=${shop.token}&query=${encodeURIComponent(CONNECTIONS)}`
    const response = await fetch(`${gateway.url}/graphql?${query}`, { headers: { accept: EVENTS } })
    expect(response.status).toBe(401)
    expect(JSON.stringify(gateway.log)).not.toContain(shop.token)
  })

  test.each([
    ['a query that is no text', { query: 1 }],
    ['variables that are no object', { query: CONNECTIONS, variables: [] }],
    ['a name that is no text', { query: CONNECTIONS, operationName: 1 }],
  ])('of %s is refused', async (_what, body) => {
    expect((await ask('', {}, { body: JSON.stringify(body) })).status).toBe(400)
  })
})

describe('what is no subscription', () => {
  const QUERY = '{ instances { name } }'
  const EVENT = 'event: next\ndata: {"data":{"instances":[{"name":"sales"}]}}\n\nevent: complete\ndata:\n\n'

  test('is answered with one event where nothing else is accepted, and with JSON otherwise', async () => {
    expect(await (await ask(QUERY)).text()).toBe(`:\n\n${EVENT}`)
    const both = await ask(QUERY, { accept: `application/json, ${EVENTS}` })
    expect(both.headers.get('content-type')).toContain('application/json')
    const subscription = await ask(CONNECTIONS, { accept: `application/json, ${EVENTS}` })
    expect(subscription.headers.get('content-type')).toContain(EVENTS)
    await subscription.body?.cancel()
  })

  test('can be read with the client of graphql-sse, errors of the document included', async () => {
    const query = readSse(gateway, shop.token, QUERY)
    expect(await query.ended()).toEqual({ kind: 'complete' })
    expect(query.results).toEqual([{ data: { instances: [{ name: 'sales' }] } }])
    const broken = readSse(gateway, shop.token, '{ nothing')
    expect(await broken.ended()).toEqual({ kind: 'complete' })
    expect(broken.results[0].errors[0].extensions).toEqual({ code: 'GRAPHQL_PARSE_FAILED' })
  })

  test('never executes a mutation that comes by GET', async () => {
    const query = 'mutation { createInstance(input: { name: "by-get" }) { token } }'
    const response = await fetch(`${gateway.url}/graphql?query=${encodeURIComponent(query)}`, {
      headers: { accept: EVENTS, token: shop.token },
    })
    expect(response.status).toBe(405)
    expect((await gateway.post('{ instance(name: "by-get") { id } }', shop.token)).data).toEqual({ instance: null })
  })
})

describe('a bare connection', () => {
  const dial = () => {
    const { hostname, port } = new URL(gateway.url)
    const socket = connect(Number(port), hostname).on('error', () => {})
    onTestFinished(() => void socket.destroy())
    const read = { text: '' }
    socket.setEncoding('latin1').on('data', (chunk) => (read.text += chunk))
    return { socket, read }
  }
  const target = `/graphql?query=${encodeURIComponent(CONNECTIONS)}`
  const ask = (version: string) =>
    `GET ${target} HTTP/${version}\r\nHost: x\r\nAccept: ${EVENTS}\r\nToken: ${shop.token}\r\n\r\n`

  /** The body of a chunked answer that goes on, decoded to the byte. */
  const decode = (body: string): string => {
    let text = ''
    for (let at = 0; at < body.length; ) {
      const [line = '', size = ''] = /^([0-9a-f]+)\r\n/.exec(body.slice(at)) ?? []
      if (line === '') throw new Error(`There is no chunk at ${JSON.stringify(body.slice(at, at + 50))}`)
      const end = at + line.length + Number.parseInt(size, 16)
      if (body.slice(end, end + 2) !== '\r\n') throw new Error(`The chunk at ${at} does not end at ${end}`)
      text += body.slice(at + line.length, end)
      at = end + 2
    }
    return Buffer.from(text, 'latin1').toString()
  }

  test('gets the stream that it asks for behind another request, each event in a chunk of its length', async () => {
    const { socket, read } = dial()
    socket.write(`GET /health/ready HTTP/1.1\r\nHost: x\r\n\r\n${ask('1.1')}`)
    await vi.waitFor(() => expect(read.text).toContain('"SNAPSHOT"'))
    gateway.services.sessions.noteCreated(await shop.instance('caixa de São João'))
    await vi.waitFor(() => expect(read.text).toContain('"ADDED"'))
    const [, , answer = ''] = read.text.split(/HTTP\/1.1 200 OK\r\n/)
    const events = decode(answer.slice(answer.indexOf('\r\n\r\n') + 4))
    expect(events).toMatch(/^:\n\n(event: next\ndata: {.*}\n\n)+$/)
    expect(events).toContain('caixa de São João')
  })

  test('that breaks takes all its streams with it, also one that waits behind another', async () => {
    const { connectionTicks } = gateway.services.sessions
    await vi.waitFor(() => expect(connectionTicks.size).toBe(0))
    const { socket, read } = dial()
    const subscribe = vi.spyOn(gateway.services.connectionLogs, 'read')
    onTestFinished(() => subscribe.mockRestore())
    socket.write(ask('1.1') + ask('1.1'))
    await vi.waitFor(() => expect(read.text).toContain('"SNAPSHOT"'))
    await vi.waitFor(() => expect(subscribe).toHaveBeenCalledTimes(2))
    socket.destroy()
    await vi.waitFor(() => expect(connectionTicks.size).toBe(0))
  })

  test('that breaks while a stream behind another is opened leaves nothing behind', async () => {
    const { connectionTicks } = gateway.services.sessions
    await vi.waitFor(() => expect(connectionTicks.size).toBe(0))
    const { socket, read } = dial()
    socket.write(ask('1.1'))
    await vi.waitFor(() => expect(read.text).toContain('"SNAPSHOT"'))
    const { connectionLogs } = gateway.services
    const before = connectionLogs.read.bind(connectionLogs)
    const opening = vi.spyOn(connectionLogs, 'read').mockImplementationOnce((...asked) => {
      // Gone before the stream is handed over.
      socket.destroy()
      return before(...asked)
    })
    onTestFinished(() => opening.mockRestore())
    const slow = vi.spyOn(gateway.services.readModel, 'isCurrent').mockReturnValue(false)
    onTestFinished(() => slow.mockRestore())
    socket.write(ask('1.1'))
    await vi.waitFor(() => expect(opening).toHaveBeenCalledOnce())
    await vi.waitFor(() => expect(connectionTicks.size).toBe(0))
  })

  test('of HTTP/1.0 gets events without chunks', async () => {
    const { socket, read } = dial()
    socket.write(ask('1.0'))
    await vi.waitFor(() => expect(read.text).toContain('"SNAPSHOT"'))
    expect(read.text).not.toMatch(/transfer-encoding/i)
    expect(read.text).toMatch(/\r\n\r\n:\n\nevent: next\ndata: {/)
  })
})

describe('a reader that goes away', () => {
  test('is forgotten', async () => {
    const response = await ask(CONNECTIONS)
    await readUntil(response, 'SNAPSHOT')
    await vi.waitFor(() => expect(gateway.services.sessions.connectionTicks.size).toBe(0))
  })

  test('is forgotten, too, when it goes while its stream is opened', async () => {
    const abort = new AbortController()
    const asked = ask(CONNECTIONS, {}, { signal: abort.signal }).catch(() => 'gone')
    await new Promise((resolve) => setTimeout(resolve, 3))
    abort.abort()
    await asked
    await vi.waitFor(() => expect(gateway.services.sessions.connectionTicks.size).toBe(0))
  })
})

/** A bare server that answers with events, and a client of it that reads when it is told to. */
async function serve(reply: (response: ServerResponse) => void): Promise<Socket> {
  const server = createServer((_request, response) => reply(response))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(() => void server.close())
  const socket = connect((server.address() as AddressInfo).port, '127.0.0.1').on('error', () => {})
  socket.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n')
  onTestFinished(() => void socket.destroy())
  return socket
}

const UNWATCHED = { hold: () => {}, release: () => {} } as unknown as TokenWatch

/** A stream whose events are their own results. */
function streamOf(take: () => object | null) {
  class Results extends Source<object> {
    protected override next = take
    protected override stop = () => {}
  }
  const source = new Results()
  const audience = { textOf: (event: object) => new EventText(JSON.stringify(event)), leave: () => {} }
  const call = { requestId: 'a', services: gateway.services } as Call
  return { source, events: new EventStream(source, audience, call, () => {}) }
}

describe('the writer of events', () => {
  test('asks for the next event when the one before was taken, and cuts a reader off that takes nothing', async () => {
    let asked = 0
    const { source, events } = streamOf(() => {
      asked++
      return { data: 'x'.repeat(100_000) }
    })
    let response: ServerResponse | undefined
    const socket = await serve((serverResponse) => {
      response = serverResponse
      new SseReplies(UNWATCHED, new KeepAlive(100)).stream(serverResponse, events, '')
    })
    socket.pause()
    await vi.waitFor(() => expect(response?.socket?.writableNeedDrain).toBe(true))
    const before = asked
    source.wake()
    // What the network takes by itself, a few megabytes; then nothing more is asked for.
    await new Promise((resolve) => setTimeout(resolve, 100))
    expect(asked).toBe(before)
    expect(response?.writableLength).toBeLessThan(1_000_000)
    await vi.waitFor(() => expect(response?.destroyed).toBe(true), { timeout: 2_000 })
    await vi.waitFor(() => expect(source.isOver).toBe(true))
  })

  test('lets a reader that is slow have the end, too', async () => {
    let next: object | null = null
    const { source, events } = streamOf(() => {
      const event = next
      next = null
      return event
    })
    let response: ServerResponse | undefined
    const socket = await serve((serverResponse) => {
      response = serverResponse
      new SseReplies(UNWATCHED).stream(serverResponse, events, '')
    })
    let text = ''
    socket.setEncoding('utf8').on('data', (chunk) => (text += chunk.slice(-100)))
    await vi.waitFor(() => expect(response).toBeDefined())
    socket.pause()
    // Until the network takes no more, and a little is left here.
    while (response?.socket?.writableLength === 0) {
      next = { data: 'x'.repeat(3_000) }
      source.wake()
      await new Promise(setImmediate)
    }
    source.close()
    await new Promise((resolve) => setTimeout(resolve, 2_500))
    socket.resume()
    await vi.waitFor(() => expect(text).toContain('event: complete\ndata:\n\n'), { timeout: 5_000 })
  })

  test('pings an idle reader', async () => {
    const { source, events } = streamOf(() => null)
    const socket = await serve((response) => new SseReplies(UNWATCHED, new KeepAlive(20)).stream(response, events, ''))
    let text = ''
    socket.setEncoding('utf8').on('data', (chunk) => (text += chunk))
    await vi.waitFor(() => expect(text.match(/:\n\n/g)?.length).toBeGreaterThan(3))
    source.close()
    await vi.waitFor(() => expect(text).toContain('event: complete\ndata:\n\n'))
  })

  test('tells the reason for which the events end, then completes', async () => {
    const results = [{ data: {} }]
    const { events } = streamOf(() => {
      const result = results.pop()
      if (!result) throw serviceUnavailable()
      return result
    })
    const socket = await serve((response) => new SseReplies(UNWATCHED).stream(response, events, ''))
    let text = ''
    socket.setEncoding('utf8').on('data', (chunk) => (text += chunk))
    await vi.waitFor(() => expect(text).toContain('complete'))
    const told = [...text.matchAll(/data: ({.*})/g)].map(([, json = '']) => JSON.parse(json))
    expect(told).toEqual([
      { data: {} },
      { errors: [{ message: 'Service unavailable', extensions: { code: 'SERVICE_UNAVAILABLE', retryAfter: 5 } }] },
    ])
  })
})
