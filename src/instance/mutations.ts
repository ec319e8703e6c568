import { z } from 'zod'
import { forbidden, instanceNotFound } from '../errors.ts'
import type { Context } from '../graphql/context.ts'
import { builder } from '../graphql/builder.ts'
import { setChatwoot, setProxy, setS3, setWebhook, setWebsocket, updateSettings } from '../integration/actions.ts'
import { ChatwootConfigInput } from '../integration/chatwoot.ts'
import { settingsRule } from '../integration/config.ts'
import { ProxyConfigInput } from '../integration/proxy.ts'
import { DEFAULT_WEBHOOK_LABEL } from '../integration/queries.ts'
import { S3ConfigInput } from '../integration/s3.ts'
import { SettingsPatchInput } from '../integration/settings.ts'
import { WebhookConfigInput } from '../integration/webhook.ts'
import { WebsocketConfigInput } from '../integration/websocket.ts'
import { rateLimited } from '../rate-limit.ts'
import { isRefusedToken, refusedToken } from '../token/actions.ts'
import { isChosenToken } from '../token/token.ts'
import { validate } from '../validate.ts'
import { principalOf, type Viewer } from '../viewer/viewer.ts'
import { createInstance, deleteInstance, type InstanceWrite, rotateInstanceToken } from './actions.ts'
import { findInstance, type Instance as InstanceRow } from './queries.ts'
import { InstanceRef } from './ref.ts'
import { Instance } from './type.ts'

/** @throws GatewayError FORBIDDEN for an instance token */
function requireAccount(viewer: Viewer): Extract<Viewer, { kind: 'account' }> {
  if (viewer.kind !== 'account') throw forbidden()
  return viewer
}

const CreateInstanceInput = builder.inputType('CreateInstanceInput', {
  description: 'Input of createInstance.',
  fields: (t) => ({
    name: t.string({
      required: true,
      description:
        '1 to 100 characters; letters, digits, `_` and `-` are safest. No comma, slash, backslash, ?, #, %, control or invisible characters.',
    }),
    token: t.string({
      description:
        'A token of your own, 32 to 256 printable ASCII characters without spaces or commas, for migrations. Leave out to have one made.',
    }),
    webhook: t.field({ type: WebhookConfigInput, description: 'Default webhook.' }),
    websocket: t.field({ type: WebsocketConfigInput, description: 'Event WebSocket.' }),
    chatwoot: t.field({ type: ChatwootConfigInput, description: 'Chatwoot bridge.' }),
    proxy: t.field({ type: ProxyConfigInput, description: 'Proxy.' }),
    settings: t.field({ type: SettingsPatchInput, description: 'Settings; those left out take their defaults.' }),
    s3: t.field({ type: S3ConfigInput, description: 'Media storage.' }),
  }),
})

type Created = { instance: InstanceRow; token: string }

const CreateInstancePayload = builder.objectRef<Created>('CreateInstancePayload').implement({
  description: 'Result of createInstance.',
  fields: (t) => ({
    instance: t.expose('instance', { type: Instance, description: 'The new instance, DISCONNECTED.' }),
    token: t.exposeString('token', { description: 'The instance token: shown here and never again.' }),
  }),
})

/** Every integration that was given, checked; what is missing stays unconfigured. */
function readIntegrations(
  { rules, sealer }: Context['services'],
  input: typeof CreateInstanceInput.$inferInput,
): InstanceWrite<void> {
  const { webhook, websocket, chatwoot, proxy, settings, s3 } = validate(
    z.object({
      webhook: rules.webhook.nullish(),
      websocket: rules.websocket.nullish(),
      chatwoot: rules.chatwoot.nullish(),
      proxy: rules.proxy.nullish(),
      settings: settingsRule.nullish(),
      s3: rules.s3.nullish(),
    }),
    input,
    'input',
  )
  return async (transaction, id) => {
    if (webhook) await setWebhook(transaction, sealer, id, DEFAULT_WEBHOOK_LABEL, webhook)
    if (websocket) await setWebsocket(transaction, id, websocket)
    if (chatwoot) await setChatwoot(transaction, sealer, id, chatwoot)
    if (proxy) await setProxy(transaction, sealer, id, proxy)
    if (settings) await updateSettings(transaction, id, settings)
    if (s3) await setS3(transaction, sealer, id, s3)
  }
}

builder.mutationField('createInstance', (t) =>
  t.field({
    type: CreateInstancePayload,
    nullable: true,
    description:
      'Account token. Create an instance, with integrations if wished: all or nothing. 20 a minute. QUOTA_EXCEEDED, INSTANCE_NAME_TAKEN, BAD_USER_INPUT.',
    args: { input: t.arg({ type: CreateInstanceInput, required: true }) },
    resolve: async (_root, { input }, { viewer, services, loaders, call }) => {
      const { accountId } = requireAccount(viewer)
      const charge = await services.limiter.chargeCreation(principalOf(viewer))
      if (!charge.granted) throw rateLimited(charge)
      const configure = readIntegrations(services, input)
      try {
        if (input.token != null && !isChosenToken(input.token)) throw refusedToken()
        const created = await createInstance(
          services.db,
          { accountId, name: input.name, token: input.token },
          configure,
        )
        services.sessions.noteCreated(created.instance)
        call.forbidStoring()
        loaders.forget()
        return created
      } catch (error) {
        if (isRefusedToken(error)) await call.chargeFailedGuess()
        throw error
      }
    },
  }),
)

const DeleteInstanceInput = builder.inputType('DeleteInstanceInput', {
  description: 'Input of deleteInstance.',
  fields: (t) => ({ instance: t.field({ type: InstanceRef, required: true, description: 'Which.' }) }),
})

const DeleteInstancePayload = builder.objectRef<{ id: string; name: string }>('DeleteInstancePayload').implement({
  description: 'Result of deleteInstance.',
  fields: (t) => ({
    deletedInstanceId: t.exposeID('id', { description: 'Id of what was deleted.' }),
    deletedInstanceName: t.exposeString('name', { description: 'Its name, free again.' }),
  }),
})

builder.mutationField('deleteInstance', (t) =>
  t.field({
    type: DeleteInstancePayload,
    nullable: true,
    description: 'Account token. Delete for good: link, credentials, integrations, instance tokens and their streams.',
    args: { input: t.arg({ type: DeleteInstanceInput, required: true }) },
    resolve: async (_root, { input }, { viewer, services, loaders }) => {
      const account = requireAccount(viewer)
      const instance = await findInstance(services.db, account, input.instance)
      if (!instance) throw instanceNotFound()
      let ended: readonly string[] = []
      await services.sessions.deleteInstances([instance], async () => {
        const deleted = await deleteInstance(services.db, account, { id: instance.id })
        ended = deleted.tokenIds
        return [deleted.instance]
      })
      services.tokenWatch.endSoon(ended)
      loaders.forget()
      return instance
    },
  }),
)

const RotateInstanceTokenInput = builder.inputType('RotateInstanceTokenInput', {
  description: 'Input of rotateInstanceToken.',
  fields: (t) => ({ instance: t.field({ type: InstanceRef, required: true, description: 'Which.' }) }),
})

const RotateInstanceTokenPayload = builder.objectRef<Created>('RotateInstanceTokenPayload').implement({
  description: 'Result of rotateInstanceToken.',
  fields: (t) => ({
    instance: t.expose('instance', { type: Instance, description: 'The instance.' }),
    token: t.exposeString('token', { description: 'The new token: shown here and never again.' }),
  }),
})

builder.mutationField('rotateInstanceToken', (t) =>
  t.field({
    type: RotateInstanceTokenPayload,
    nullable: true,
    description: 'Account token. Replace the instance token; the old one and its streams end at once.',
    args: { input: t.arg({ type: RotateInstanceTokenInput, required: true }) },
    resolve: async (_root, { input }, { viewer, services, loaders, call }) => {
      const rotated = await rotateInstanceToken(services.db, requireAccount(viewer), input.instance)
      services.tokenWatch.end(rotated.revokedIds)
      call.forbidStoring()
      loaders.forget()
      return rotated
    },
  }),
)
