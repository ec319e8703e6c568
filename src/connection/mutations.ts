import { z } from 'zod'
import { instanceNotFound } from '../errors.ts'
import { builder } from '../graphql/builder.ts'
import type { Context } from '../graphql/context.ts'
import { findInstance, type Instance as InstanceRow, type InstanceRef as Ref } from '../instance/queries.ts'
import { InstanceRef } from '../instance/ref.ts'
import { Instance } from '../instance/type.ts'
import { isPhoneNumber, PHONE_NUMBER_RULE } from '../pairing/phone-number.ts'
import { pairingClosed } from '../rate-limit.ts'
import { validate } from '../validate.ts'

const isPaired = ({ pairedAt, loggedOutAt }: InstanceRow) => pairedAt !== null && loggedOutAt === null

const phoneNumberRule = z.string().refine(isPhoneNumber, `has to be ${PHONE_NUMBER_RULE}`).nullish()

/**
 * The road of every mutation that moves a session: the instance is found, asked for something, and told as it is then.
 * @throws GatewayError INSTANCE_NOT_FOUND
 */
async function command(
  { services, viewer, loaders }: Context,
  ref: Ref,
  ask: (instance: InstanceRow) => Promise<InstanceRow>,
): Promise<{ instance: InstanceRow }> {
  const found = await findInstance(services.db, viewer, ref)
  if (!found) throw instanceNotFound()
  const instance = await ask(found)
  loaders.forget()
  return { instance }
}

/** Input and payload of a command that takes an instance and nothing else. */
const inputOf = (name: string) =>
  builder.inputType(`${name}Input`, {
    description: `Input of ${fieldOf(name)}.`,
    fields: (t) => ({ instance: t.field({ type: InstanceRef, required: true, description: 'Which.' }) }),
  })

const payloadOf = (name: string, instanceDescription = 'The instance.') =>
  builder.objectRef<{ instance: InstanceRow }>(`${name}Payload`).implement({
    description: `Result of ${fieldOf(name)}.`,
    fields: (t) => ({ instance: t.expose('instance', { type: Instance, description: instanceDescription }) }),
  })

const fieldOf = (name: string) => name.charAt(0).toLowerCase() + name.slice(1)

const ConnectInstanceInput = builder.inputType('ConnectInstanceInput', {
  description: 'Input of connectInstance.',
  fields: (t) => ({
    instance: t.field({ type: InstanceRef, required: true, description: 'Which.' }),
    phoneNumber: t.string({
      description:
        'Digits with country code: pair by an 8-character code instead of a QR. Ignored when already paired.',
    }),
  }),
})
const ConnectInstancePayload = payloadOf('ConnectInstance', 'The instance; its connection tells how far it is.')

builder.mutationField('connectInstance', (t) =>
  t.field({
    type: ConnectInstancePayload,
    nullable: true,
    description:
      'Ask for a link; joins a running attempt, does nothing when connected. Codes arrive on the pairing subscription.',
    args: { input: t.arg({ type: ConnectInstanceInput, required: true }) },
    resolve: (_root, { input }, context) => {
      const phoneNumber = validate(phoneNumberRule, input.phoneNumber, 'input.phoneNumber') ?? null
      const { sessions, limiter } = context.services
      return command(context, input.instance, (instance) => {
        if (!isPaired(instance) && limiter.mode() === 'share') throw pairingClosed()
        return sessions.connect(instance, phoneNumber)
      })
    },
  }),
)

const ReconnectInstanceInput = inputOf('ReconnectInstance')
const ReconnectInstancePayload = payloadOf('ReconnectInstance')

builder.mutationField('reconnectInstance', (t) =>
  t.field({
    type: ReconnectInstancePayload,
    nullable: true,
    description: 'Drop and reopen the link of a paired instance. CONFLICT if it was never paired.',
    args: { input: t.arg({ type: ReconnectInstanceInput, required: true }) },
    resolve: (_root, { input }, context) =>
      command(context, input.instance, (instance) => context.services.sessions.reconnect(instance)),
  }),
)

const DisconnectInstanceInput = inputOf('DisconnectInstance')
const DisconnectInstancePayload = payloadOf('DisconnectInstance')

builder.mutationField('disconnectInstance', (t) =>
  t.field({
    type: DisconnectInstancePayload,
    nullable: true,
    description: 'Close the link and keep the pairing.',
    args: { input: t.arg({ type: DisconnectInstanceInput, required: true }) },
    resolve: (_root, { input }, context) =>
      command(context, input.instance, (instance) => context.services.sessions.disconnect(instance)),
  }),
)

const LogoutInstanceInput = inputOf('LogoutInstance')
const LogoutInstancePayload = payloadOf('LogoutInstance')

builder.mutationField('logoutInstance', (t) =>
  t.field({
    type: LogoutInstancePayload,
    nullable: true,
    description: 'End the pairing at WhatsApp and delete the credentials; the instance and its token stay.',
    args: { input: t.arg({ type: LogoutInstanceInput, required: true }) },
    resolve: (_root, { input }, context) =>
      command(context, input.instance, (instance) => context.services.sessions.logOut(instance)),
  }),
)
