import { ConnectionReasonType } from '../connection/type.ts'
import { instanceNotFound } from '../errors.ts'
import { builder } from '../graphql/builder.ts'
import type { Context } from '../graphql/context.ts'
import type { Instance as InstanceRow, InstanceRef as Ref } from '../instance/queries.ts'
import { InstanceRef } from '../instance/ref.ts'
import { Instance } from '../instance/type.ts'
import { isUuid } from '../uuid.ts'
import { qrImageOf } from './qr-image.ts'
import { type PairingEvent, PairingReader } from './reader.ts'
import type { PairingStep } from './step.ts'

type Step<Kind extends PairingStep['kind']> = Extract<PairingStep, { kind: Kind }>

const PairingQrCode = builder.objectRef<Step<'qr'>>('PairingQrCode').implement({
  description: 'A QR to scan; replaces the one before.',
  fields: (t) => ({
    value: t.exposeString('value', { description: 'The text inside the QR.' }),
    image: t.string({
      description: 'The QR as a `data:image/png;base64,` URL.',
      resolve: ({ value }) => qrImageOf(value),
    }),
    ordinal: t.exposeInt('ordinal', { description: '1 for the first of this attempt.' }),
    expiresAt: t.expose('expiresAt', { type: 'DateTime', description: 'When the next replaces it.' }),
  }),
})

const PairingPhoneCode = builder.objectRef<Step<'code'>>('PairingPhoneCode').implement({
  description: 'A code to type on the phone.',
  fields: (t) => ({
    code: t.exposeString('code', { description: '8 characters, shown to people as XXXX-XXXX.' }),
    expiresAt: t.expose('expiresAt', { type: 'DateTime', description: 'When it stops working.' }),
  }),
})

const PairingSucceeded = builder.objectRef<Step<'succeeded'> & { instanceId: string }>('PairingSucceeded').implement({
  description: 'Paired. The link restarts once before it is CONNECTED.',
  fields: (t) => ({
    instance: t.field({
      type: Instance,
      nullable: true,
      description: 'The instance; null only beside an error.',
      resolve: ({ instanceId }, _args, { loaders }) => loaders.instanceById.load(instanceId),
    }),
    numberJid: t.exposeString('numberJid', { description: 'The number that was paired.' }),
  }),
})

const PairingFailed = builder.objectRef<Step<'failed'>>('PairingFailed').implement({
  description: 'Not paired.',
  fields: (t) => ({
    reason: t.expose('reason', { type: ConnectionReasonType, description: 'Why, and who has to act.' }),
  }),
})

const TYPES = { qr: PairingQrCode, code: PairingPhoneCode, succeeded: PairingSucceeded, failed: PairingFailed } as const

const PairingEventType = builder.unionType('PairingEvent', {
  description: 'One step of a pairing. Members may be added.',
  types: [PairingQrCode, PairingPhoneCode, PairingSucceeded, PairingFailed],
  resolveType: (event) => TYPES[(event as PairingEvent).kind],
})

/** @throws GatewayError INSTANCE_NOT_FOUND */
async function getInstance({ loaders }: Context, { id, name }: Ref): Promise<InstanceRow> {
  const instance =
    id != null ? isUuid(id) && (await loaders.instanceById.load(id)) : (await loaders.instances.load([name ?? '']))[0]
  if (!instance) throw instanceNotFound()
  return instance
}

async function watchPairing(context: Context, ref: Ref): Promise<PairingReader> {
  const { services, loaders } = context
  const events = new PairingReader(services, await getInstance(context, ref))
  const { id } = events.instance
  try {
    // Once more, now that its end would be heard of.
    loaders.forget()
    await getInstance(context, { id })
    return events
  } catch (error) {
    events.close()
    throw error
  }
}

builder.subscriptionField('pairing', (t) =>
  t.field({
    type: PairingEventType,
    description:
      'The codes of a running pairing: first the present one, then each next, then the outcome, which ends the stream. It starts nothing: connectInstance does. Without a running attempt it waits.',
    args: { instance: t.arg({ type: InstanceRef, required: true }) },
    subscribe: (_root, { instance }, context) => watchPairing(context, instance),
    resolve: (event) => event,
  }),
)
