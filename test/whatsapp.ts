import type { Config } from '../src/config.ts'
import type { ConnectionStatus, ReasonCode } from '../src/connection/state.ts'
import type { Instance } from '../src/instance/queries.ts'
import type { PairingStep } from '../src/pairing/step.ts'
import { LINK_TIMINGS, type LinkTimings } from '../src/session/link.ts'
import type { Phone } from './fake-whatsapp/phone.ts'
import { type FakeOptions, type FakeWhatsApp, startFakeWhatsApp } from './fake-whatsapp/server.ts'
import { type SeededAccount, seed } from './seed.ts'
import { startTestGateway, type TestGateway } from './testkit.ts'

const PATIENCE_MS = 15_000

/** A gateway and the WhatsApp that it talks to. */
export type Stage = {
  whatsapp: FakeWhatsApp
  gateway: TestGateway
  account: SeededAccount
  close(): Promise<void>
}

export async function startStage({
  fake = {},
  config = {},
  timings = {},
}: { fake?: FakeOptions; config?: Partial<Config>; timings?: Partial<LinkTimings> } = {}): Promise<Stage> {
  const whatsapp = await startFakeWhatsApp(fake)
  const gateway = await startTestGateway(
    { whatsappUrl: whatsapp.url, ...config },
    { timings: { ...LINK_TIMINGS, ...timings } },
  )
  const account = await seed(gateway.services.db).account('shop')
  return {
    whatsapp,
    gateway,
    account,
    close: async () => {
      await gateway.close()
      await whatsapp.close()
    },
  }
}

/** Waits for a condition; says what there was instead when it does not come. */
export async function until<Value>(
  look: () => Value | Promise<Value>,
  isRight: (value: Value) => boolean,
  patienceMs = PATIENCE_MS,
): Promise<Value> {
  const deadline = Date.now() + patienceMs
  for (;;) {
    const value = await look()
    if (isRight(value)) return value
    if (Date.now() > deadline) throw new Error(`Not in ${patienceMs} ms; at last: ${JSON.stringify(value)}`)
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
}

let numbers = 15_550_000_000

/** An instance of a stage's account, and what is done with it as its user would. */
export async function createNumber(
  { whatsapp, gateway, account }: Stage,
  options: Omit<ConstructorParameters<typeof Phone>[0], 'number'> = {},
) {
  const phone = whatsapp.phone({ number: String(++numbers), name: 'Ann', ...options })
  const instance = await account.instance(`n${phone.number}`)
  const { sessions } = gateway.services
  const row = (): Instance => instance
  const status = (): ConnectionStatus => sessions.statusOf(row())
  const mutate = async (field: string, more = '') => {
    const { data, errors } = await gateway.post(
      `mutation { ${field}(input: { instance: { id: "${instance.id}" } ${more} }) { instance { id connection { state } } } }`,
      account.token,
    )
    if (errors) throw Object.assign(new Error(errors[0]?.message), errors[0]?.extensions)
    return data[field].instance.connection.state as string
  }
  const number = {
    phone,
    instance,
    status,
    connect: (more?: string) => mutate('connectInstance', more),
    reconnect: () => mutate('reconnectInstance'),
    disconnect: () => mutate('disconnectInstance'),
    logOut: () => mutate('logoutInstance'),
    /** Waits for a state, and for a reason if one is given. */
    reaches: (state: ConnectionStatus['state'], reason?: ReasonCode, patienceMs?: number) =>
      until(status, (now) => now.state === state && (!reason || now.reason?.code === reason), patienceMs),
    /** Waits for the present step of the pairing. */
    offers: async <Kind extends PairingStep['kind']>(kind: Kind) =>
      (await until(
        () => sessions.pairingStepOf(instance.id),
        (step) => step?.kind === kind,
      )) as Extract<PairingStep, { kind: Kind }>,
    /** From the first word to the open link. */
    link: async () => {
      await number.connect()
      const { value } = await number.offers('qr')
      const device = await phone.scan(value)
      await number.reaches('connected')
      return device
    },
  }
  return number
}
