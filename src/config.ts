import { resolve } from 'node:path'
import { z } from 'zod'
import { CHOSEN_TOKEN_RULE, isChosenToken } from './token/token.ts'

/** Variable descriptions: `example` stands in messages and `.env.example`; a `secret` value is never printed. */
type Note = { example: string; secret?: true }
const note = (example: string, extra: Omit<Note, 'example'> = {}): Note => ({ example, ...extra })

const wholeNumber = (min: number, max: number) => {
  const error = `expected a whole number from ${min} to ${max}`
  return z
    .string()
    .regex(/^\d{1,15}$/, error)
    .transform(Number)
    .pipe(z.number().min(min, error).max(max, error))
}
const flag = z.enum(['true', 'false'], 'expected true or false').transform((value) => value === 'true')
const key = z
  .string()
  .regex(
    /^[A-Za-z0-9+/]{43}=$/,
    'expected 32 bytes in base64 (44 characters), as `openssl rand -base64 32` prints them',
  )
  .transform((value) => Buffer.from(value, 'base64'))

const isOrigin = (text: string): boolean =>
  URL.canParse(text) && /^https?:$/.test(new URL(text).protocol) && new URL(text).origin === text

const isHostAndPort = (text: string): boolean =>
  /^(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+)(:\d{1,5})?$/.test(text) && URL.canParse(`tcp://${text}`)

const DatabaseUrl = z
  .string()
  .refine(
    (value) => /^postgres(ql)?:\/\//.test(value),
    'expected a PostgreSQL address beginning with postgres:// or postgresql://',
  )
  .refine(
    (value) => !/^postgres(ql)?:\/\//.test(value) || URL.canParse(value),
    'expected an address that can be read: a host after the @, and each / # ? @ : % of the password written as %2F %23 %3F %40 %3A %25',
  )
const CorsOrigins = z
  .string()
  .transform((value) =>
    value
      .split(',')
      .map((origin) => origin.trim())
      .filter(Boolean),
  )
  .refine(
    (origins) => origins.every(isOrigin),
    'expected origins separated by commas, each scheme, host and port only (no path, no trailing slash, no *)',
  )

const RedisUrl = z
  .string()
  .refine(
    (value) => /^rediss?:\/\/[^/]/.test(value) && URL.canParse(value),
    'expected a Redis or Valkey address beginning with redis:// or rediss://',
  )
const NODE_ADDRESS_RULE = 'expected a host, or host:port (an IPv6 address in brackets)'
const NodeAddress = z
  .string()
  .refine((value) => isHostAndPort(value), NODE_ADDRESS_RULE)
  .transform((value) => {
    const { hostname, port } = new URL(`tcp://${value}`)
    return { host: hostname.replace(/^\[|\]$/g, ''), port: Number(port) }
  })

const WhatsappUrl = z
  .string()
  .refine((value) => /^wss?:\/\/[^/]/.test(value) && URL.canParse(value), 'expected an address beginning with wss://')
const WhatsappVersion = z
  .string()
  .regex(/^\d{1,4}\.\d{1,6}\.\d{1,12}$/, 'expected three numbers with dots between them')
  .transform((value) => value.split('.').map(Number) as [number, number, number])

const LOG_LEVELS = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'] as const

/** Every variable that the gateway reads. */
const Environment = z.object({
  HOST: z.string().default('127.0.0.1').meta(note('0.0.0.0')),
  PORT: wholeNumber(0, 65535).default(4000).meta(note('4000')),
  DATABASE_URL: DatabaseUrl.optional().meta(
    note('postgres://switchboard:password@localhost:5432/switchboard', { secret: true }),
  ),
  REDIS_URL: RedisUrl.optional().meta(note('redis://localhost:6379', { secret: true })),
  NODE_ADDRESS: NodeAddress.optional().meta(note('10.0.0.5:4100')),
  DATA_DIR: z.string().default('./data').meta(note('./data')),
  ENCRYPTION_KEY: key.optional().meta(note('the output of `openssl rand -base64 32`', { secret: true })),
  ENCRYPTION_KEY_PREVIOUS: key.optional().meta(note('the key that ENCRYPTION_KEY replaced', { secret: true })),
  BOOTSTRAP_TOKEN: z
    .string()
    .refine((token) => isChosenToken(token), `expected ${CHOSEN_TOKEN_RULE}`)
    .optional()
    .meta(note('the output of `openssl rand -hex 24`', { secret: true })),
  DEMO: flag.optional().meta(note('false')),
  CORS_ORIGINS: CorsOrigins.default([]).meta(note('https://app.example.com,https://admin.example.com')),
  RATE_LIMIT_PER_MINUTE: wholeNumber(1, 1_000_000).default(100).meta(note('100')),
  READ_CACHE_MB: wholeNumber(0, 65_536).default(128).meta(note('256')),
  TRUST_PROXY: wholeNumber(0, 10).default(0).meta(note('1')),
  INTROSPECTION: flag.default(true).meta(note('false')),
  GRAPHIQL: flag.default(true).meta(note('false')),
  ALLOW_PRIVATE_ADDRESSES: flag.default(false).meta(note('true')),
  MAX_OPENING: wholeNumber(1, 100).default(8).meta(note('8')),
  WHATSAPP_URL: WhatsappUrl.default('wss://web.whatsapp.com/ws/chat').meta(note('wss://web.whatsapp.com/ws/chat')),
  WHATSAPP_INSECURE: flag.default(false).meta(note('true')),
  WHATSAPP_VERSION: WhatsappVersion.optional().meta(note('2.3000.1043857760')),
  METRICS_PORT: wholeNumber(0, 65535).optional().meta(note('9400')),
  LOG_LEVEL: z
    .enum(LOG_LEVELS, `expected one of ${LOG_LEVELS.join(', ')}`)
    .default('info')
    .meta(note('debug')),
  LOG_FORMAT: z.enum(['json', 'pretty'], 'expected json or pretty').optional().meta(note('json')),
})

export const VARIABLES = Object.keys(Environment.shape) as (keyof typeof Environment.shape)[]

export type LogFormat = 'json' | 'pretty'

/** The settings of one process. Secrets are in it: never print it. */
export type Config = Readonly<{
  host: string
  port: number
  /** null: the embedded database in `dataDir`. */
  databaseUrl: string | null
  /** What the nodes of one deployment share beside the database; null: this is the only node. */
  redisUrl: string | null
  /** Where other nodes reach this one; null: found out at the start. Port 0: a free one. */
  nodeAddress: { readonly host: string; readonly port: number } | null
  dataDir: string
  /** 32 bytes; null: made and kept in `dataDir` (embedded database only). */
  encryptionKey: Buffer | null
  previousEncryptionKey: Buffer | null
  bootstrapToken: string | null
  demo: boolean
  corsOrigins: readonly string[]
  rateLimitPerMinute: number
  /** Memory for what is read; 0: every reading goes to the database. */
  readCacheMb: number
  /** How many reverse proxies in front are trusted to name the client in X-Forwarded-For. */
  trustProxy: number
  introspection: boolean
  graphiql: boolean
  allowPrivateAddresses: boolean
  /** Sessions that may be opening at the same time. */
  maxOpening: number
  whatsappUrl: string
  /** The client version that WhatsApp is told; null: the one that Baileys was released with. */
  whatsappVersion: [number, number, number] | null
  /** Where metrics are served; null: nowhere. */
  metricsPort: number | null
  logLevel: (typeof LOG_LEVELS)[number]
  logFormat: LogFormat
}>

/** All mistakes of a configuration in one message, without the value of any secret. */
export class ConfigError extends Error {
  constructor(mistakes: readonly string[]) {
    const count = mistakes.length === 1 ? '1 mistake' : `${mistakes.length} mistakes`
    super(`The configuration has ${count}:\n${mistakes.map((mistake) => `  ${mistake}`).join('\n')}`)
    this.name = 'ConfigError'
  }
}

const noteOf = (name: keyof typeof Environment.shape) => Environment.shape[name].meta() as Note

const describeMistake = (name: keyof typeof Environment.shape, problem: string, value: string | undefined): string => {
  const { example, secret } = noteOf(name)
  const given =
    value === undefined ? 'is not set' : secret ? 'has a value that cannot be used' : `is ${JSON.stringify(value)}`
  return `${name} ${given}: ${problem}. Example: ${name}=${example}`
}

/**
 * The configuration in the environment; an empty variable counts as absent.
 * Operator commands need no encryption key, the gateway does.
 * @throws ConfigError with every mistake at once
 */
export function readConfig(purpose: 'gateway' | 'command', env: NodeJS.ProcessEnv = process.env): Config {
  const given = Object.fromEntries(VARIABLES.map((name) => [name, env[name]?.trim() || undefined]))
  const parsed = Environment.safeParse(given)
  const mistakes = (parsed.error?.issues ?? []).map((issue) => {
    const name = issue.path[0] as keyof typeof Environment.shape
    return describeMistake(name, issue.message, given[name])
  })
  if (purpose === 'gateway' && given.DATABASE_URL && !given.ENCRYPTION_KEY) {
    mistakes.push(
      describeMistake('ENCRYPTION_KEY', 'it is needed beside DATABASE_URL, to seal secrets at rest', undefined),
    )
  }
  if (purpose === 'gateway' && given.REDIS_URL && !given.DATABASE_URL) {
    mistakes.push(
      describeMistake(
        'DATABASE_URL',
        'it is needed beside REDIS_URL, since many nodes share one PostgreSQL',
        undefined,
      ),
    )
  }
  if (purpose === 'gateway' && given.NODE_ADDRESS && !given.REDIS_URL) {
    mistakes.push(
      describeMistake(
        'REDIS_URL',
        'it is needed beside NODE_ADDRESS, since other nodes reach only those that share a Redis with them. For a single gateway unset NODE_ADDRESS',
        undefined,
      ),
    )
  }
  if (parsed.data?.ENCRYPTION_KEY?.equals(parsed.data.ENCRYPTION_KEY_PREVIOUS ?? Buffer.alloc(0))) {
    mistakes.push(describeMistake('ENCRYPTION_KEY_PREVIOUS', 'it is the same as ENCRYPTION_KEY', given.ENCRYPTION_KEY))
  }
  if (parsed.data && !parsed.data.WHATSAPP_INSECURE && !parsed.data.WHATSAPP_URL.startsWith('wss://')) {
    mistakes.push(
      describeMistake(
        'WHATSAPP_URL',
        'it has to begin with wss://, since nothing but TLS proves that WhatsApp is at the other end. For tests against a server of your own set WHATSAPP_INSECURE=true',
        given.WHATSAPP_URL,
      ),
    )
  }
  if (!parsed.success || mistakes.length > 0) throw new ConfigError(mistakes)

  const values = parsed.data
  return Object.freeze({
    host: values.HOST,
    port: values.PORT,
    databaseUrl: values.DATABASE_URL ?? null,
    redisUrl: values.REDIS_URL ?? null,
    nodeAddress: values.NODE_ADDRESS ?? null,
    dataDir: resolve(values.DATA_DIR),
    encryptionKey: values.ENCRYPTION_KEY ?? null,
    previousEncryptionKey: values.ENCRYPTION_KEY_PREVIOUS ?? null,
    bootstrapToken: values.BOOTSTRAP_TOKEN ?? null,
    demo: values.DEMO ?? !values.DATABASE_URL,
    corsOrigins: values.CORS_ORIGINS,
    rateLimitPerMinute: values.RATE_LIMIT_PER_MINUTE,
    readCacheMb: values.READ_CACHE_MB,
    trustProxy: values.TRUST_PROXY,
    introspection: values.INTROSPECTION,
    graphiql: values.GRAPHIQL,
    allowPrivateAddresses: values.ALLOW_PRIVATE_ADDRESSES,
    maxOpening: values.MAX_OPENING,
    whatsappUrl: values.WHATSAPP_URL,
    whatsappVersion: values.WHATSAPP_VERSION ?? null,
    metricsPort: values.METRICS_PORT ?? null,
    logLevel: values.LOG_LEVEL,
    logFormat: values.LOG_FORMAT ?? (process.stderr.isTTY ? 'pretty' : 'json'),
  })
}
