// The fake in a process of its own. Prints one line of JSON and takes orders over HTTP.
//   standalone.js [--port 4000] [--accept-unknown] [--real-pre-keys] [--routing-info TEXT]
import { parseArgs } from 'node:util'
import { startFakeWhatsApp } from './server.ts'

const { values } = parseArgs({
  options: {
    port: { type: 'string', default: '0' },
    'accept-unknown': { type: 'boolean', default: false },
    'real-pre-keys': { type: 'boolean', default: false },
    'routing-info': { type: 'string' },
  },
})

const fake = await startFakeWhatsApp({
  port: Number(values.port),
  acceptUnknownDevices: values['accept-unknown'],
  preKeys: values['real-pre-keys'] ? 'real' : 'cheap',
  routingInfo: values['routing-info'],
})
const stop = () => void fake.close()
process.once('SIGTERM', stop)
process.once('SIGINT', stop)
process.stdout.write(
  `${JSON.stringify({
    url: fake.url,
    controlUrl: fake.controlUrl,
    port: fake.port,
    pid: process.pid,
    root: fake.rootKey.toString('hex'),
  })}\n`,
)
