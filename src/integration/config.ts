import { z } from 'zod'
import { isPublicHost, normaliseHost } from '../address-guard.ts'
import { NAME_RULE, parseName } from '../name.ts'
import { EVENT_NAMES } from './events.ts'

/*
 * What may be stored for each integration, as users write it: a value that is refused is refused with what would be
 * right, and never repeated, since it may be a secret. With `enabled: false` the rest does not matter: it is cleared.
 */

const NEEDED = 'is needed when enabled'
const NOT_EMPTY = 'may not be empty; leave it out instead'
/** Control characters, NUL among them, and lone surrogates, which PostgreSQL cannot hold or nobody can see. */
const INVISIBLE = /[\p{Cc}\p{Cs}]/u

/** Those, and what takes no room: of two names that look alike nobody could tell which is meant. */
const WITHOUT_WIDTH = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/u

const text = (max: number, empty = NEEDED) =>
  z
    .string(empty)
    .min(1, empty)
    .max(max, `has to be at most ${max} characters long`)
    .refine((value) => !INVISIBLE.test(value), 'may not contain control characters')
    .refine((value) => value.trim() !== '', empty)

/** A webhook's label, by which it is replaced and deleted; written like a name. */
export const labelRule = z.string().transform((text, context) => {
  const label = parseName(text)
  if (label !== null) return label
  context.addIssue(`has to be ${NAME_RULE}`)
  return z.NEVER
})

/** A value that travels in an HTTP header, or a credential. */
const secret = (max: number) =>
  z
    .string()
    .max(max, `has to be at most ${max} characters long`)
    .regex(
      /^[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?$/,
      'has to be printable ASCII without spaces around it; null clears it',
    )
    .nullish()

const events = z
  .array(z.enum(EVENT_NAMES))
  .nonempty('may not be empty; leave it out for all events')
  .refine((names) => new Set(names).size === names.length, 'names an event twice')
  .nullish()
  .transform((names) => names ?? [])

const MAX_URL_LENGTH = 2_048

/** An address that the gateway may be made to call: https, public, without user info. */
const address = (allowPrivate: boolean, empty = NEEDED) =>
  text(MAX_URL_LENGTH, empty).refine(
    (value) => isAllowedUrl(value, allowPrivate),
    allowPrivate
      ? 'has to be an http or https address without user info'
      : 'has to be an https address of a public host, without user info',
  )

function isAllowedUrl(value: string, allowPrivate: boolean): boolean {
  if (!/^https?:\/\/[^/\\]/i.test(value) || /\s/.test(value) || !URL.canParse(value)) return false
  const { protocol, username, password, hostname, port, hash } = new URL(value)
  if (port === '0' || hash) return false
  if (username || password || /^[^/]*\/\/[^/?#]*@/.test(value)) return false
  return allowPrivate || (protocol === 'https:' && isPublicHost(hostname))
}

/** Without a query or fragment, and without the slash at its end. */
const baseAddress = (allowPrivate: boolean) =>
  address(allowPrivate)
    .refine((value) => !/[?#]/.test(value), 'may not have a query or a fragment')
    .transform((value) => value.replace(/\/+$/, ''))

const host = (allowPrivate: boolean) =>
  text(253).transform((value, context) => {
    const normal = normaliseHost(value)
    if (normal !== null && (allowPrivate || isPublicHost(normal))) return normal
    context.addIssue(allowPrivate ? 'has to be a host name or an address' : 'has to be a host name or a public address')
    return z.NEVER
  })

const number = (min: number, max: number) => {
  const range = `has to be a whole number from ${min} to ${max}`
  return z.int(NEEDED).min(min, range).max(max, range)
}

/** Either switched off, whatever else is said, or on and complete. */
const switched = <Shape extends z.ZodRawShape>(shape: Shape) =>
  z.discriminatedUnion('enabled', [
    z.object({ enabled: z.literal(false) }),
    z.object({ enabled: z.literal(true), ...shape }),
  ])

/** The rules, for a gateway that lets integrations point at private addresses or does not. */
export const configRules = (allowPrivate: boolean) => ({
  webhook: switched({
    url: address(allowPrivate),
    authorization: secret(4_096),
    byEvents: z.boolean(),
    events,
    mediaBase64: z.boolean(),
  }),
  websocket: switched({ events, mediaBase64: z.boolean() }),
  chatwoot: switched({
    baseUrl: baseAddress(allowPrivate),
    accountId: number(1, 2 ** 31 - 1),
    apiToken: secret(512),
    inboxName: text(100).refine((value) => !WITHOUT_WIDTH.test(value), 'may not contain invisible characters'),
    signMessages: z.boolean(),
    ignoreGroups: z.boolean(),
    startAsPending: z.boolean(),
    reopenResolved: z.boolean(),
  }),
  proxy: switched({
    host: host(allowPrivate),
    port: number(1, 65_535),
    protocol: z.enum(['http', 'https', 'socks5']),
    username: text(255, NOT_EMPTY)
      .refine((value) => !value.includes(':'), 'may not contain a colon')
      .nullish(),
    password: secret(255),
  }),
  s3: switched({
    region: text(64).regex(/^[A-Za-z0-9-]+$/, 'has to be letters, digits and -'),
    bucket: text(63)
      .regex(/^[a-z0-9][a-z0-9.-]+[a-z0-9]$/, 'has to be a bucket name: 3 to 63 lower case letters, digits, . and -')
      .refine((value) => !value.includes('..'), 'may not have two dots in a row')
      .refine((value) => !/^[\d.]+$/.test(value), 'may not look like an address'),
    endpoint: address(allowPrivate, NOT_EMPTY).nullish(),
    pathPrefix: text(512, NOT_EMPTY)
      .refine((value) => !value.split('/').includes('..'), 'may not contain ..')
      .nullish(),
    credentials: z
      .object({ accessKey: secret(256).unwrap().unwrap(), secretKey: secret(256).unwrap().unwrap() })
      .nullish(),
  }),
})

export type ConfigRules = ReturnType<typeof configRules>
export type WebhookConfig = z.infer<ConfigRules['webhook']>
export type WebsocketConfig = z.infer<ConfigRules['websocket']>
export type ChatwootConfig = z.infer<ConfigRules['chatwoot']>
export type ProxyConfig = z.infer<ConfigRules['proxy']>
export type S3Config = z.infer<ConfigRules['s3']>

const flag = z.boolean('may not be null; leave it out to keep it').optional()

/** Settings to change; what is left out stays. */
export const settingsRule = z.object({
  autoRejectCalls: flag,
  callRejectMessage: z
    .string('may not be null; an empty text means none')
    // As forms of the web send line breaks.
    .transform((value) => value.replaceAll('\r\n', '\n'))
    .refine((value) => [...value].length <= 1_000, 'has to be at most 1,000 characters long')
    .refine((value) => !INVISIBLE.test(value.replaceAll(/[\n\t]/g, '')), 'may not contain control characters')
    .optional(),
  ignoreGroupMessages: flag,
  keepOnlineStatus: flag,
  autoReadMessages: flag,
  disableHistorySync: flag,
  ignoreStatus: flag,
})
export type SettingsPatch = z.infer<typeof settingsRule>
