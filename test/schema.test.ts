import { readFileSync } from 'node:fs'
import { isEnumType, isObjectType, printSchema } from 'graphql'
import { expect, test } from 'vitest'
import { ERROR_CODES } from '../src/errors.ts'
import { schema } from '../src/graphql/schema.ts'

const types = Object.values(schema.getTypeMap()).filter(({ name }) => !name.startsWith('__'))
const objects = types.filter(isObjectType)

test('schema/schema.graphql is the schema that is served', () => {
  expect(readFileSync('schema/schema.graphql', 'utf8')).toBe(`${printSchema(schema)}\n`)
})

test('every type, field, argument and enum value of ours is described', () => {
  const builtIn = new Set(['ID', 'String', 'Int', 'Float', 'Boolean'])
  const silent = types
    .filter(({ name }) => !builtIn.has(name))
    .flatMap((type) => [
      ...(type.description ? [] : [type.name]),
      ...(isObjectType(type) ? Object.values(type.getFields()) : isEnumType(type) ? type.getValues() : [])
        .filter(({ description }) => !description)
        .map(({ name }) => `${type.name}.${name}`),
    ])
  expect(silent).toEqual([])
})

test('the error codes of the schema are the closed list', () => {
  const enumeration = schema.getType('ErrorCode')
  expect(isEnumType(enumeration) && enumeration.getValues().map(({ name }) => name)).toEqual(Object.keys(ERROR_CODES))
})

test('no field of the output can carry a secret: of one that is stored, only whether it is', () => {
  const suspicious = objects.flatMap((type) =>
    Object.values(type.getFields())
      .filter(({ name }) => /token|secret|password|authorization|credential|key|sealed/i.test(name))
      .map((field) => `${type.name}.${field.name}: ${field.type}`),
  )
  expect(suspicious.toSorted()).toEqual(
    [
      'Webhook.hasAuthorization: Boolean!',
      'ChatwootIntegration.hasApiToken: Boolean!',
      'ProxyIntegration.hasPassword: Boolean!',
      'S3Integration.hasCredentials: Boolean!',
      // A new token, shown this once.
      'CreateInstancePayload.token: String!',
      'RotateInstanceTokenPayload.token: String!',
      'Mutation.rotateInstanceToken: RotateInstanceTokenPayload',
    ].toSorted(),
  )
})

test('each block that is loaded apart is nullable, so that a failed batch leaves the list standing', () => {
  const instance = objects.find(({ name }) => name === 'Instance')
  const nullable = Object.values(instance?.getFields() ?? {})
    .filter(({ type }) => !String(type).endsWith('!'))
    .map(({ name }) => name)
  expect(nullable.toSorted()).toEqual([
    'chatwoot',
    'profile',
    'proxy',
    's3',
    'settings',
    'webhook',
    'webhooks',
    'websocket',
  ])
})
