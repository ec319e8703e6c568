import type { ServerResponse } from 'node:http'

/** Ends a response with a text whose type is set already; for HEAD, Node leaves the body out. */
export function replyText(response: ServerResponse, status: number, text: string | Buffer): void {
  response.writeHead(status, { 'Content-Length': Buffer.byteLength(text) })
  response.end(text)
}

export function replyJson(
  response: ServerResponse,
  status: number,
  json: string | Buffer,
  contentType = 'application/json; charset=utf-8',
): void {
  response.setHeader('Content-Type', contentType)
  replyText(response, status, json)
}

/** Ends a response without a body. */
export function replyEmpty(response: ServerResponse, status: 204 | 304): void {
  response.writeHead(status)
  response.end()
}
