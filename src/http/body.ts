import { isUtf8 } from 'node:buffer'
import type { IncomingMessage } from 'node:http'
import { badRequest } from '../errors.ts'

const MAX_BODY_BYTES = 1024 * 1024

const tooLarge = () => badRequest(`The body is larger than ${MAX_BODY_BYTES} bytes. Send less in one request`, 413)

/**
 * The JSON body of a request: the one place where bodies are read.
 * @throws GatewayError with status 415, 413 or 400
 */
export async function readJsonBody(request: IncomingMessage): Promise<unknown> {
  if (!isJson(request.headers['content-type']) || (request.headers['content-encoding'] ?? 'identity') !== 'identity') {
    throw badRequest('The body has to be JSON: send Content-Type: application/json, uncompressed', 415)
  }
  const bytes = await readBytes(request)
  try {
    return JSON.parse(textOf(bytes))
  } catch {
    throw badRequest('The body is not JSON in UTF-8')
  }
}

/**
 * TextDecoder would make a text of two bytes a character, and with it everything that repeats a part of it: twice the
 * memory, and several times the work to write it.
 */
function textOf(bytes: Buffer): string {
  if (!isUtf8(bytes)) throw badRequest('The body is not UTF-8')
  return bytes.toString('utf8').replace(/^\uFEFF/, '')
}

const isJson = (contentType = ''): boolean =>
  /^application\/(graphql\+)?json\s*(;\s*charset\s*=\s*"?utf-8"?\s*)?;?$/i.test(contentType.trim())

function readBytes(request: IncomingMessage): Promise<Buffer> {
  if (Number(request.headers['content-length'] ?? 0) > MAX_BODY_BYTES) throw tooLarge()
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = []
    let size = 0
    request
      .on('data', (chunk: Buffer) => {
        size += chunk.length
        if (size <= MAX_BODY_BYTES) return void chunks.push(chunk)
        // The stream is left open: the rest is discarded, and the client can read its answer.
        chunks.length = 0
        reject(tooLarge())
      })
      .on('end', () => resolve(chunks.length === 1 ? (chunks[0] as Buffer) : Buffer.concat(chunks)))
      .on('error', () => reject(badRequest('The body ended early')))
  })
}
