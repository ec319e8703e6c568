// The anchors of the benchmark, as one process: L0 lets PostgreSQL build each body with one prepared statement and passes
// it on; L0b answers the same bodies from ready buffers. Their requests are `/l0/<work>` and `/l0b/<work>`.
import { createHash } from 'node:crypto'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { Pool } from 'pg'
import { worksOf } from './works.ts'

const POOL_SIZE = 10

const [databaseUrl = '', ...sizes] = process.argv.slice(2)
const works = new Map(worksOf(sizes.map(Number)).map((work) => [work.name, work]))
const pool = new Pool({ connectionString: databaseUrl, max: POOL_SIZE })
const ready = new Map<string, Buffer>()

async function build(name: string, token: string): Promise<Buffer> {
  const digest = createHash('sha256').update(token).digest()
  const { rows } = await pool.query({ name, text: works.get(name)?.statement ?? '', values: [digest] })
  return Buffer.from(rows[0].body)
}

async function bodyOf(request: IncomingMessage): Promise<Buffer> {
  const [, kind, name = ''] = (request.url ?? '').split('/')
  const token = String(request.headers.token)
  if (kind === 'l0') return build(name, token)
  const body = ready.get(name) ?? (await build(name, token))
  ready.set(name, body)
  return body
}

const answer = async (request: IncomingMessage, response: ServerResponse) => {
  const body = await bodyOf(request)
  response.writeHead(200, { 'Content-Type': 'application/json; charset=utf-8', 'Content-Length': body.length })
  response.end(body)
}

const server = createServer((request, response) => {
  request.resume().once('end', () => void answer(request, response))
}).listen(0, '127.0.0.1', () => {
  const address = server.address()
  process.stdout.write(`listening on ${typeof address === 'object' ? address?.port : ''}\n`)
})
