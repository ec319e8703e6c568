import { builder } from '../graphql/builder.ts'
import { enumValues } from '../graphql/enum-values.ts'
import { Instance } from '../instance/type.ts'
import type { Proxy } from './queries.ts'

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
