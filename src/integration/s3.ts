import { builder } from '../graphql/builder.ts'
import { Instance } from '../instance/type.ts'
import type { S3 } from './queries.ts'
import { configure, readConfigInput } from '../instance/configure.ts'
import { InstanceRef } from '../instance/ref.ts'
import type { Instance as InstanceRow } from '../instance/queries.ts'
import { setS3 } from './actions.ts'

const S3Integration = builder.objectRef<S3>('S3Integration').implement({
  description: 'S3-compatible media storage.',
  fields: (t) => ({
    enabled: t.exposeBoolean('enabled', { description: 'false: none.' }),
    region: t.exposeString('region', { nullable: true, description: 'Region.' }),
    bucket: t.exposeString('bucket', { nullable: true, description: 'Bucket.' }),
    endpoint: t.exposeString('endpoint', { nullable: true, description: 'Endpoint; null: AWS.' }),
    pathPrefix: t.exposeString('pathPrefix', { nullable: true, description: 'Prefix of every key.' }),
    hasCredentials: t.exposeBoolean('hasCredentials', {
      description: 'Whether keys are stored; they are never shown.',
    }),
  }),
})

builder.objectField(Instance, 's3', (t) =>
  t.field({
    type: S3Integration,
    nullable: true,
    description: 'Media storage; null only beside an error.',
    resolve: ({ id }, _args, { loaders }) => loaders.s3.load(id),
  }),
)

const S3Credentials = builder.inputType('S3Credentials', {
  description: 'Keys of a media storage.',
  fields: (t) => ({
    accessKey: t.string({ required: true, description: 'Access key id.' }),
    secretKey: t.string({ required: true, description: 'Secret key.' }),
  }),
})

export const S3ConfigInput = builder.inputType('S3Config', {
  description: 'Media storage to store. With enabled: false the rest is cleared.',
  fields: (t) => ({
    enabled: t.boolean({ required: true, defaultValue: true, description: 'Switch.' }),
    region: t.string({ description: 'Region. Needed when enabled.' }),
    bucket: t.string({ description: 'Existing bucket. Needed when enabled.' }),
    endpoint: t.string({ description: 'Left out or null: AWS; else an https address, a public one.' }),
    pathPrefix: t.string({ description: 'Prefix of every key; no `..`.' }),
    credentials: t.field({
      type: S3Credentials,
      description:
        "Both keys or none. Left out: keep; null: clear; a new endpoint without them clears them. The server's own cloud identity is never used.",
    }),
  }),
})

const SetS3Input = builder.inputType('SetS3Input', {
  description: 'Input of setS3.',
  fields: (t) => ({
    instance: t.field({ type: InstanceRef, required: true, description: 'Which instance.' }),
    config: t.field({ type: S3ConfigInput, required: true, description: 'What to store.' }),
  }),
})

const SetS3Payload = builder.objectRef<{ instance: InstanceRow }>('SetS3Payload').implement({
  description: 'Result of setS3.',
  fields: (t) => ({
    instance: t.expose('instance', { type: Instance, description: 'The instance.' }),
    s3: t.field({
      type: S3Integration,
      description: 'As stored.',
      resolve: ({ instance }, _args, { loaders }) => loaders.s3.load(instance.id),
    }),
  }),
})

builder.mutationField('setS3', (t) =>
  t.field({
    type: SetS3Payload,
    nullable: true,
    description: 'Replace the media storage.',
    args: { input: t.arg({ type: SetS3Input, required: true }) },
    resolve: async (_root, { input }, context) => {
      const { rules, sealer } = context.services
      const config = readConfigInput(rules.s3, input)
      const { instance } = await configure(context, input, (transaction, id) => setS3(transaction, sealer, id, config))
      return { instance }
    },
  }),
)
