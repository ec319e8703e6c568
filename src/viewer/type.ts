import { Account } from '../account/type.ts'
import { builder } from '../graphql/builder.ts'
import { enumValues } from '../graphql/enum-values.ts'
import { Instance } from '../instance/type.ts'
import { type Budget, resetTimeOf } from '../rate-limit.ts'
import type { TokenKind } from '../token/token.ts'
import type { Viewer } from './viewer.ts'

const TokenKindEnum = builder.enumType('TokenKind', {
  description: 'The kinds of token.',
  values: enumValues<TokenKind>({ account: 'Every instance of one account.', instance: 'Exactly one instance.' }),
})

const RateLimit = builder.objectRef<Budget>('RateLimit').implement({
  description: "The state of the token's bucket.",
  fields: (t) => ({
    limit: t.exposeInt('limit', { description: 'Requests per minute.' }),
    remaining: t.exposeInt('remaining', { description: 'Requests still possible now.' }),
    resetAt: t.field({
      type: 'DateTime',
      description: 'When at least one more request is possible; rounded up to a whole second.',
      resolve: resetTimeOf,
    }),
  }),
})

const ViewerType = builder.objectRef<Viewer>('Viewer').implement({
  description: 'The principal behind the token.',
  fields: (t) => ({
    kind: t.expose('kind', { type: TokenKindEnum, description: 'Which kind of token was sent.' }),
    account: t.field({
      type: Account,
      nullable: true,
      description: 'The tenant; null for an instance token, which learns nothing about its account.',
      resolve: (viewer, _args, { loaders }) =>
        viewer.kind === 'account' ? loaders.account.load(viewer.accountId) : null,
    }),
    instance: t.field({
      type: Instance,
      nullable: true,
      description: 'The one instance of an instance token; null for an account token.',
      resolve: (viewer, _args, { loaders }) =>
        viewer.kind === 'instance' ? loaders.instanceById.load(viewer.instanceId) : null,
    }),
    rateLimit: t.field({
      type: RateLimit,
      description:
        "What is left of the token's minute, this operation included: for WebSocket clients, who see no headers.",
      resolve: (_viewer, _args, { budget }) => budget,
    }),
  }),
})

builder.queryField('viewer', (t) =>
  t.field({ type: ViewerType, description: 'Who the token is.', resolve: (_root, _args, { viewer }) => viewer }),
)
