import { builder } from '../graphql/builder.ts'
import { Instance } from '../instance/type.ts'
import type { S3 } from './queries.ts'

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
