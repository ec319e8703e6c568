import type { IncomingMessage, ServerResponse } from 'node:http'
import { text } from 'node:stream/consumers'
import type { Phone } from './phone.ts'
import type { FakeWhatsApp } from './server.ts'

// Orders over HTTP, for a fake in a process of its own: POST {"op": "phone.drop", "args": ["15550001"]}.

/** What may be asked of the fake itself. `phone` makes or changes one. */
const SERVER_OPERATIONS = [
  'phone',
  'fail',
  'heal',
  'mute',
  'accept',
  'refuse',
  'outage',
  'dropAll',
  'next',
  'seen',
  'all',
  'nextLogin',
  'live',
  'sockets',
  'stats',
] as const satisfies (keyof FakeWhatsApp)[]

/** What may be asked of a phone, whose number is the first argument. */
const PHONE_OPERATIONS = [
  'scan',
  'enterCode',
  'unlink',
  'rename',
  'writeToSelf',
  'changePicture',
  'receiveCall',
  'endCall',
  'receiveText',
  'showPresence',
  'confirm',
  'preKeysRunLow',
  'fail',
  'heal',
  'mute',
  'drop',
  'closeCleanly',
  'endStream',
  'streamError',
  'replace',
  'downgrade',
  'hang',
  'goSilent',
  'comeBack',
  'sendGarbage',
] as const satisfies (keyof Phone)[]

export type Operation =
  | (typeof SERVER_OPERATIONS)[number]
  | `phone.${(typeof PHONE_OPERATIONS)[number]}`
  | 'loginDelay'
  | 'memory'

export async function handleControl(
  fake: FakeWhatsApp,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const reply = (status: number, body: unknown) =>
    response
      .writeHead(status, { 'content-type': 'application/json', connection: 'close' })
      .end(JSON.stringify(body ?? null))
  if (request.method !== 'POST' || request.url !== '/control') {
    reply(404, { error: 'Orders are sent to POST /control' })
    return
  }
  try {
    const { op, args = [] } = JSON.parse(await text(request)) as { op: string; args?: unknown[] }
    reply(200, await obey(fake, op, args))
  } catch (error) {
    reply(400, { error: (error as Error).message })
  }
}

type Methods = Record<string, (...args: unknown[]) => unknown>

async function obey(fake: FakeWhatsApp, op: string, args: unknown[]): Promise<unknown> {
  if (op === 'loginDelay') {
    fake.loginDelayMs = Number(args[0])
    return null
  }
  if (op === 'memory') return process.memoryUsage()
  if ((SERVER_OPERATIONS as readonly string[]).includes(op)) return (fake as unknown as Methods)[op]?.(...args)
  const name = op.replace(/^phone\./, '')
  if (op === name || !(PHONE_OPERATIONS as readonly string[]).includes(name)) throw new Error(`No operation ${op}`)
  const [number, ...rest] = args
  const phone = fake.phoneByNumber(String(number))
  if (!phone) throw new Error(`No phone ${String(number)}`)
  return ((phone as unknown as Methods)[name] as (...args: unknown[]) => unknown).apply(phone, rest)
}
