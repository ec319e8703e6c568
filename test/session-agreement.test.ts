import { expect, onTestFinished, test } from 'vitest'
import { createNumber, startStage, until } from './whatsapp.ts'

type Look = {
  connection: Record<string, string | null> & { sequence: number; reason: { code: string } | null }
  profile: Record<string, string | boolean | null>
}

test('REST and GraphQL say the same of a connection and its profile at every moment', async () => {
  const stage = await startStage({ timings: { silence: 5_000 } })
  onTestFinished(stage.close)
  const number = await createNumber(stage, { pictureUrl: 'https://pps.example.com/1.jpg' })
  const { name, token } = number.instance

  const look = async (): Promise<Look> => {
    const { data } = await stage.gateway.post(
      `{ instance(name: "${name}") {
        connection { state numberJid presenceStatus displayStatus sequence reason { code } }
        profile { name pictureUrl isBusiness businessName }
      } }`,
      token,
    )
    return data.instance
  }
  const list = async () => {
    const response = await stage.gateway.get('/api/instance/list', token)
    const { instances } = (await response.json()) as { instances: Record<string, object>[] }
    const { status, numberJid, connection, profile } = instances[0] ?? {}
    return { status, numberJid, connection, profile }
  }
  const inRest = ({ connection, profile }: Look) => {
    const state = connection.state?.toLowerCase().replace('_', '')
    const { numberJid, displayStatus } = connection
    return {
      status: state,
      numberJid,
      connection: { state, numberJid, displayStatus, presenceStatus: connection.presenceStatus?.toLowerCase() },
      profile: {
        ...profile,
        name: profile.name ?? '',
        pictureUrl: profile.pictureUrl ?? '',
        businessName: profile.businessName ?? '',
      },
    }
  }
  /** Every state in which both were asked, as "STATE REASON NAME". */
  const compared = new Set<string>()
  const compare = async () => {
    const before = await look()
    const item = await list()
    const after = await look()
    const hasChanged =
      before.connection.sequence !== after.connection.sequence ||
      JSON.stringify(before.profile) !== JSON.stringify(after.profile)
    if (hasChanged) return
    expect(after).toEqual(before)
    expect(item).toEqual(inRest(before))
    const { state, reason } = before.connection
    compared.add([state, reason?.code, state === 'CONNECTED' && before.profile.name].filter(Boolean).join(' '))
  }
  /** Waits until both were asked in a state. */
  const isCompared = (state: string) =>
    until(
      () => [...compared],
      (states) => states.includes(state),
    )

  const over = new AbortController()
  const sampler = async () => {
    while (!over.signal.aborted) await compare()
  }
  const sampling = Promise.all([sampler(), sampler()])
  const drive = async () => {
    await isCompared('DISCONNECTED NOT_PAIRED')
    await number.connect()
    const { value } = await number.offers('qr')
    await isCompared('CONNECTING AWAITING_PAIRING')
    await number.phone.scan(value)
    await isCompared('CONNECTED Ann')
    await number.phone.rename('Anna')
    await isCompared('CONNECTED Anna')
    number.phone.drop()
    await number.reaches('connecting', 'CONNECTION_LOST')
    await number.reaches('connected')
    stage.whatsapp.fail({ kind: 'http', status: 503 })
    number.phone.streamError({ code: 503 })
    await isCompared('CONNECTING WHATSAPP_UNAVAILABLE')
    stage.whatsapp.heal()
    await number.reconnect()
    await number.reaches('connected')
    await number.disconnect()
    await isCompared('DISCONNECTED STOPPED')
    await number.connect()
    await number.reaches('connected')
    // Once it is opened again, because it is ours.
    number.phone.replace()
    await number.reaches('connecting', 'REPLACED')
    await number.reaches('connected')
    number.phone.replace()
    await isCompared('DISCONNECTED REPLACED')
    await number.connect()
    await number.reaches('connected')
    await number.logOut()
    await isCompared('LOGGED_OUT LOGGED_OUT')
    await number.link()
    number.phone.unlink()
    await number.reaches('loggedout')
    await number.link()
    number.phone.hang()
    await number.reaches('connecting', 'SILENT')
    await number.reaches('connected')
  }
  try {
    // A sampler ends only with a difference.
    await Promise.race([drive(), sampling])
  } finally {
    over.abort()
  }
  await sampling
})
