// `npm run demo`: the gateway against a WhatsApp that is played here, to see phones being linked without a phone.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { banner } from '../src/banner.ts'
import { readConfig } from '../src/config.ts'
import { DEMO_ACCOUNT } from '../src/demo.ts'
import { findAccountByName } from '../src/account/queries.ts'
import { startGateway } from '../src/gateway.ts'
import { type Instance, listInstances } from '../src/instance/queries.ts'
import { createLogger } from '../src/logger.ts'
import { connectInstance } from '../src/operator/connect-instance.ts'
import { formatStep } from '../src/operator/print.ts'
import type { CommandStep } from '../src/operator/step.ts'
import { startFakeWhatsApp } from '../test/fake-whatsapp/server.ts'

/** Long enough to look at a code before it is used. */
const LOOK_MS = 4_000

const say = (text: string) => process.stdout.write(`${text}\n`)
const at = () => new Date().toLocaleTimeString('en-GB')

say('Preparing an embedded database …')
const dataDir = mkdtempSync(join(tmpdir(), 'switchboard-demo-'))
const whatsapp = await startFakeWhatsApp()
const { port, host } = readConfig('command')
const config = {
  ...readConfig('command', {}),
  port,
  host,
  dataDir,
  whatsappUrl: whatsapp.url,
  logLevel: 'warn' as const,
}
const gateway = await startGateway(config, await createLogger(config))
const { db, sessions } = gateway.services

const stop = async () => {
  say('\nThe simulation ends.')
  await gateway.close()
  await whatsapp.close()
  rmSync(dataDir, { recursive: true, force: true })
  process.exit()
}
let stopping: Promise<void> | undefined
// Ctrl-C arrives twice under npm, from the terminal and from npm.
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => void (stopping ??= stop()))

say(`
This is a simulation: WhatsApp and the phones are played by this process, on ${whatsapp.url},
and nothing leaves this machine. What you see of Switchboard is the real thing.`)
say(banner(gateway, config))

/** Links a played phone to an instance, as its owner would: by the code on the screen. */
async function link(instance: Instance, number: string, name: string): Promise<void> {
  const phone = whatsapp.phone({ number, name })
  const tell = (step: CommandStep) => {
    void formatStep(step).then((text) => say(`${at()}  ${instance.name}: ${text}`))
    if (step.kind !== 'qr') return
    void setTimeout(LOOK_MS).then(() => {
      say(`${at()}  ${instance.name}: the played phone of ${name} scans the code`)
      return phone.scan(step.value)
    })
  }
  await connectInstance(sessions, instance, null, tell, new AbortController().signal)
}

const account = await findAccountByName(db, DEMO_ACCOUNT)
const instances = await listInstances(db, { kind: 'account', accountId: account?.id ?? '' })
// The sample's proxy is not there, and would not be asked in vain before your eyes.
await db.deleteFrom('proxies').execute()
for (const [index, instance] of instances.entries()) {
  await link(instance, `1555000000${index}`, `Sample ${index + 1}`)
}

say(`\n${at()}  All samples are linked. Look at them in GraphiQL (the tab "Live" shows them live); in a moment one
          connection will drop.`)
await setTimeout(2 * LOOK_MS)
const [first] = instances
if (first) {
  sessions.connectionTicks.subscribe(first.accountId, ({ instance }) => {
    const { displayStatus, reason } = sessions.statusOf(instance)
    say(`${at()}  ${instance.name}: ${displayStatus}${reason ? `: ${reason.message}` : ''}`)
  })
  say(`${at()}  ${first.name}: the played network drops its connection`)
  whatsapp.phoneByNumber('15550000000')?.drop()
}
await setTimeout(LOOK_MS)
say(`\n${at()}  The gateway runs on until you press Ctrl-C.`)
