import { builder } from '../graphql/builder.ts'
import { enumValues } from '../graphql/enum-values.ts'
import { Instance } from '../instance/type.ts'
import type { Proxy } from './queries.ts'
import { configure, readConfigInput } from '../instance/configure.ts'
import { InstanceRef } from '../instance/ref.ts'
import type { Instance as InstanceRow } from '../instance/queries.ts'
import { setProxy } from './actions.ts'

const ProxyProtocol = builder.enumType('ProxyProtocol', {
  description: 'Proxy protocols.',
  values: enumValues<NonNullable<Proxy['protocol']>>({
    http: 'HTTP CONNECT in the clear.',
    https: 'HTTP CONNECT over TLS.',
    socks5: 'SOCKS 5; names are resolved by the proxy.',
  }),
})

const ProxyIntegration = builder.objectRef<Proxy>('ProxyIntegration').implement({
  description: "The instance's own proxy.",
  fields: (t) => ({
    enabled: t.exposeBoolean('enabled', { description: 'false: none.' }),
    host: t.exposeString('host', { nullable: true, description: 'Host name or address.' }),
    port: t.exposeInt('port', { nullable: true, description: '1 to 65535 (a string in REST).' }),
    protocol: t.expose('protocol', { type: ProxyProtocol, nullable: true, description: 'How to speak to it.' }),
    username: t.exposeString('username', { nullable: true, description: 'User name, if any.' }),
    hasPassword: t.exposeBoolean('hasPassword', { description: 'Whether a password is stored; it is never shown.' }),
  }),
})

builder.objectField(Instance, 'proxy', (t) =>
  t.field({
    type: ProxyIntegration,
    nullable: true,
    description: "The instance's own proxy, never the deployment's; null only beside an error.",
    resolve: ({ id }, _args, { loaders }) => loaders.proxy.load(id),
  }),
)

export const ProxyConfigInput = builder.inputType('ProxyConfig', {
  description: 'A proxy to store. With enabled: false the rest is cleared.',
  fields: (t) => ({
    enabled: t.boolean({ required: true, defaultValue: true, description: 'Switch.' }),
    host: t.string({ description: 'Host name or public address. Needed when enabled.' }),
    port: t.int({ description: '1 to 65535. Needed when enabled.' }),
    protocol: t.field({
      type: ProxyProtocol,
      required: true,
      defaultValue: 'http',
      description: 'How to speak to it.',
    }),
    username: t.string({ description: 'User name.' }),
    password: t.string({
      description: 'Password. Left out: keep; null: clear; a new host, port or user name without it clears it.',
    }),
  }),
})

const SetProxyInput = builder.inputType('SetProxyInput', {
  description: 'Input of setProxy.',
  fields: (t) => ({
    instance: t.field({ type: InstanceRef, required: true, description: 'Which instance.' }),
    config: t.field({ type: ProxyConfigInput, required: true, description: 'What to store.' }),
  }),
})

const SetProxyPayload = builder.objectRef<{ instance: InstanceRow }>('SetProxyPayload').implement({
  description: 'Result of setProxy.',
  fields: (t) => ({
    instance: t.expose('instance', { type: Instance, description: 'The instance.' }),
    proxy: t.field({
      type: ProxyIntegration,
      description: 'As stored.',
      resolve: ({ instance }, _args, { loaders }) => loaders.proxy.load(instance.id),
    }),
  }),
})

builder.mutationField('setProxy', (t) =>
  t.field({
    type: SetProxyPayload,
    nullable: true,
    description: 'Replace the proxy; used from the next opening of the link.',
    args: { input: t.arg({ type: SetProxyInput, required: true }) },
    resolve: async (_root, { input }, context) => {
      const { rules, sealer } = context.services
      const config = readConfigInput(rules.proxy, input)
      const { instance } = await configure(context, input, (transaction, id) =>
        setProxy(transaction, sealer, id, config),
      )
      return { instance }
    },
  }),
)
