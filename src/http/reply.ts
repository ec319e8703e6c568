import type { ServerResponse } from 'node:http'
import { type Bytes, bytesOf } from './bytes.ts'

export const JSON_TYPE = 'application/json; charset=utf-8'

/** Ends a response whose type is set already; for HEAD, Node leaves the body out. */
export function replyBytes(response: ServerResponse, status: number, bytes: Bytes | Buffer): void {
  response.writeHead(status, { 'Content-Length': bytes.length })
  response.end(bytes, 'latin1')
}

export const replyText = (response: ServerResponse, status: number, text: string): void =>
  replyBytes(response, status, bytesOf(text))

export function replyJson(response: ServerResponse, status: number, json: string, contentType = JSON_TYPE): void {
  response.setHeader('Content-Type', contentType)
  replyText(response, status, json)
}

/** Ends a response without a body. */
export function replyEmpty(response: ServerResponse, status: 204 | 304): void {
  response.writeHead(status)
  response.end()
}
