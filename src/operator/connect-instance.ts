import { GatewayError } from '../errors.ts'
import type { Instance } from '../instance/queries.ts'
import type { PairingStep } from '../pairing/step.ts'
import type { SessionRegistry } from '../session/registry.ts'
import type { CommandStep } from './step.ts'

/**
 * Asks for a link and follows it until it is open, or nobody is there any more to be told.
 * @throws GatewayError CONFLICT with the reason when it comes to rest without a link
 */
export async function connectInstance(
  sessions: SessionRegistry,
  instance: Instance,
  phoneNumber: string | null,
  tell: (step: CommandStep) => void,
  signal: AbortSignal,
): Promise<void> {
  const stops: (() => void)[] = []
  try {
    await new Promise<void>((resolve, reject) => {
      let last = ''
      let isShown = false
      let isAsked = false
      const show = (step: PairingStep) => {
        isShown = true
        if (step.kind === 'qr') tell({ kind: 'qr', value: step.value, expiresAt: step.expiresAt.toISOString() })
        if (step.kind === 'code') tell({ kind: 'code', code: step.code, expiresAt: step.expiresAt.toISOString() })
      }
      const look = () => {
        const { state, displayStatus, reason } = sessions.statusOf(instance)
        const message = reason ? `${displayStatus}: ${reason.message}` : displayStatus
        if (message !== last) tell({ kind: 'state', state, message })
        last = message
        if (state === 'connected') resolve()
        else if (state !== 'connecting') reject(new GatewayError('CONFLICT', `${message} Nothing is being tried now`))
      }
      stops.push(
        sessions.pairingSteps.subscribe(instance.id, show),
        sessions.connectionTicks.subscribe(instance.accountId, (tick) => {
          // Before the attempt has begun, a tick tells of the rest it begins from.
          if (isAsked && tick.instance.id === instance.id) look()
        }),
      )
      const ask = async () => {
        await sessions.prepare(instance.accountId)
        await sessions.connect(instance, phoneNumber)
        isAsked = true
        // Of an attempt that has been joined.
        const step = sessions.pairingStepOf(instance.id)
        if (step && !isShown) show(step)
        look()
      }
      signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true })
      ask().catch(reject)
    })
  } finally {
    for (const stop of stops) stop()
  }
}
