import { sql } from 'kysely'
import { getIntrospectionQuery } from 'graphql'
import { expect, test } from 'vitest'
import { COMMANDS } from '../src/operator/commands.ts'
import { runCommand } from '../src/operator/run.ts'
import {
  CreateInstanceDocument,
  EverythingDocument,
  SetChatwootDocument,
  SetProxyDocument,
  SetS3Document,
  SetWebhookDocument,
} from './generated/graphql.ts'
import { seed } from './seed.ts'
import { startGatewayForTest } from './testkit.ts'

const CANARIES = {
  authorization: 'canary-authorization-91c1',
  apiToken: 'canary-api-token-5b0e',
  password: 'canary-password-7f3a',
  accessKey: 'canary-access-key-20d4',
  secretKey: 'canary-secret-key-e6b8',
}
const CHOSEN_TOKEN = 'canary-instance-token-of-32-characters'

test('known secrets go through the whole system and come out nowhere', async () => {
  const gateway = await startGatewayForTest()
  const { db } = gateway.services
  const shop = await seed(db).account('shop')
  const outputs: string[] = []
  const post: typeof gateway.post = async (...args) => {
    const answer = await gateway.post(...args)
    outputs.push(JSON.stringify([answer, [...answer.headers]]))
    return answer
  }
  const instance = { name: 'sales' }
  const writes: [{ toString(): string }, object][] = [
    [SetWebhookDocument, { instance, config: { url: 'https://example.com', authorization: CANARIES.authorization } }],
    [
      SetChatwootDocument,
      {
        instance,
        config: { baseUrl: 'https://example.com', accountId: 1, inboxName: 'i', apiToken: CANARIES.apiToken },
      },
    ],
    [SetProxyDocument, { instance, config: { host: 'example.com', port: 1, password: CANARIES.password } }],
    [
      SetS3Document,
      {
        instance,
        config: {
          region: 'r',
          bucket: 'media',
          credentials: { accessKey: CANARIES.accessKey, secretKey: CANARIES.secretKey },
        },
      },
    ],
  ]

  // Created with them, written again, refused with them, and refused in ways that echo what was sent.
  const created = await gateway.post(CreateInstanceDocument.toString(), shop.token, {
    variables: {
      input: {
        name: 'sales',
        token: CHOSEN_TOKEN,
        ...Object.fromEntries(
          writes.map(([, { config }]: any) => [
            'url' in config ? 'webhook' : 'host' in config ? 'proxy' : 'bucket' in config ? 's3' : 'chatwoot',
            config,
          ]),
        ),
      },
    },
  })
  expect(created.errors).toBeUndefined()
  for (const [document, input] of writes) {
    expect((await post(document.toString(), shop.token, { variables: { input } })).errors).toBeUndefined()
    const { config } = input as { config: object }
    await post(document.toString(), shop.token, { variables: { input: { instance: { name: 'nobody' }, config } } })
    const bad = { ...config, url: 'x', baseUrl: 'x', host: 'x y', bucket: 'X' }
    const known = Object.fromEntries(Object.entries(bad).filter(([key]) => key in config))
    expect(
      (await post(document.toString(), shop.token, { variables: { input: { instance, config: known } } })).errors,
    ).toHaveLength(1)
  }
  const invalid = `canary\n${CANARIES.password}`
  await post(SetProxyDocument.toString(), shop.token, {
    variables: { input: { instance, config: { host: 'example.com', port: 1, password: invalid } } },
  })
  await gateway.get('/api/instance/list', CHOSEN_TOKEN)

  // Sent in the wrong shape, where graphql would repeat the value.
  const config = { enabled: true, url: 'https://example.com' }
  const misshapen: [object, string, object][] = [
    [SetS3Document, 'SetS3', { credentials: { accessKey: CANARIES.accessKey, secretkey: CANARIES.secretKey } }],
    [SetWebhookDocument, 'SetWebhook', { ...config, authorization: CANARIES.authorization, verify: true }],
    [SetProxyDocument, 'SetProxy', { host: 'example.com', port: 1, password: [CANARIES.password] }],
    [SetProxyDocument, 'SetProxy', { host: 'example.com', port: 1, protocol: CANARIES.password }],
    [SetChatwootDocument, 'SetChatwoot', { apiToken: { value: CANARIES.apiToken } }],
  ]
  for (const [document, , wrong] of misshapen) {
    expect(
      (await post(String(document), shop.token, { variables: { input: { instance, config: wrong } } })).errors,
    ).toHaveLength(1)
  }
  await post(CreateInstanceDocument.toString(), shop.token, { variables: { input: { token: CHOSEN_TOKEN } } })
  for (const literal of [
    `["${CANARIES.password}"]`,
    `{ a: "${CANARIES.password}" }`,
    CANARIES.password.replaceAll('-', '_'),
  ]) {
    await post(
      `mutation { setProxy(input: { instance: { name: "sales" }, config: { password: ${literal} } }) { __typename } }`,
      shop.token,
    )
  }
  await post(`{ instances(names: "${CANARIES.secretKey}" "${CANARIES.password}") { name } }`, shop.token)
  await post(
    'mutation ($i: String) { deleteInstance(input: { instance: { name: $i } }) { deletedInstanceId } }',
    shop.token,
  )

  // Everything that can be read.
  await post(EverythingDocument.toString(), shop.token)
  await post(getIntrospectionQuery())
  outputs.push(await (await gateway.get('/api/instance/list', shop.token)).text())
  outputs.push(await (await gateway.get('/health/ready')).text())
  const { rows } = await sql<{
    table: string
  }>`select table_name as table from information_schema.tables where table_schema = 'public'`.execute(db)
  for (const { table } of rows) {
    const dump = await sql<{ row: string }>`select ${sql.table(table)}::text as row from ${sql.table(table)}`.execute(
      db,
    )
    // bytea is shown in hexadecimal: look inside.
    for (const { row } of dump.rows)
      outputs.push(
        row,
        row.replaceAll(/\\\\?x([\da-f]+)/g, (_all, hex) => Buffer.from(hex, 'hex').toString('latin1')),
      )
  }
  for (const name of Object.keys(COMMANDS).filter((command) => command.endsWith('list'))) {
    outputs.push(
      JSON.stringify(
        await runCommand(
          {
            db,
            logger: gateway.services.logger,
            sealer: () => gateway.services.sealer,
            live: gateway.services,
            openSessions: () => Promise.resolve(gateway.services.sessions),
          },
          { name, args: ['shop'], options: {} },
          { tell: () => {}, signal: new AbortController().signal },
        ),
      ),
    )
  }
  outputs.push(JSON.stringify(gateway.log))

  expect(outputs.length).toBeGreaterThan(30)
  const everything = outputs.join('\n')
  for (const secret of [...Object.values(CANARIES), CANARIES.password.replaceAll('-', '_'), CHOSEN_TOKEN, shop.token])
    expect(everything).not.toContain(secret)
  // The search can find something: what is no secret is there.
  expect(everything).toContain('example.com')
})
