import type { ServerResponse } from 'node:http'

/** Ends a response with a JSON text; for HEAD, Node leaves the body out. */
export function replyJson(
  response: ServerResponse,
  status: number,
  json: string,
  contentType = 'application/json; charset=utf-8',
): void {
  response.writeHead(status, { 'Content-Type': contentType, 'Content-Length': Buffer.byteLength(json) })
  response.end(json)
}

/** Ends a response without a body. */
export function replyEmpty(response: ServerResponse, status: 204 | 304): void {
  response.writeHead(status)
  response.end()
}
