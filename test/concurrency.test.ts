import { afterAll, beforeAll, expect, describe, test } from 'vitest'
import {
  CreateInstanceDocument,
  DeleteInstanceDocument,
  EverythingDocument,
  SetWebhookDocument,
  UpdateSettingsDocument,
} from './generated/graphql.ts'
import { deleteAccount, rotateAccountToken } from '../src/account/actions.ts'
import { listTokens } from '../src/token/queries.ts'
import { type SeededAccount, seed } from './seed.ts'
import { hasPostgres, startTestGateway, type TestGateway } from './testkit.ts'

/** The embedded database has one session, in which nothing is concurrent. */
describe.skipIf(!hasPostgres)('concurrent writers', () => {
  let gateway: TestGateway
  let shop: SeededAccount

  beforeAll(async () => {
    gateway = await startTestGateway()
    shop = await seed(gateway.services.db).account('shop')
  })
  afterAll(() => gateway.close())

  const codes = (answers: { errors?: { extensions: { code: string } }[] }[]) =>
    answers.map(({ errors }) => errors?.[0]?.extensions.code ?? 'OK').toSorted()

  test('of one row lose nothing: each setting that somebody changed is changed', async () => {
    const { name } = await shop.instance('settings')
    const flags = [
      'autoRejectCalls',
      'ignoreGroupMessages',
      'keepOnlineStatus',
      'autoReadMessages',
      'ignoreStatus',
    ] as const
    await Promise.all(
      flags.map((flag) =>
        gateway.graphql(UpdateSettingsDocument, { input: { instance: { name }, patch: { [flag]: true } } }, shop.token),
      ),
    )
    const { instances } = await gateway.graphql(EverythingDocument, { names: [name] }, shop.token)
    for (const flag of flags) expect(instances[0]?.settings?.[flag]).toBe(true)
  })

  test('of webhooks never get past 3 enabled ones', async () => {
    const { name } = await shop.instance('webhooks')
    const answers = await Promise.all(
      Array.from({ length: 10 }, (_, index) =>
        gateway.post(SetWebhookDocument.toString(), shop.token, {
          variables: { input: { instance: { name }, label: `l${index}`, config: { url: 'https://example.com' } } },
        }),
      ),
    )
    expect(codes(answers)).toEqual([...Array(3).fill('OK'), ...Array(7).fill('QUOTA_EXCEEDED')])
  })

  test('of one name: one of 50 gets it', async () => {
    // Past the 20 a minute of the mutation, straight to what has to hold.
    const accounts = await Promise.all(['one', 'two', 'three'].map((name) => seed(gateway.services.db).account(name)))
    for (const account of accounts) {
      const { createInstance } = await import('../src/instance/actions.ts')
      const settled = await Promise.allSettled(
        Array.from({ length: 50 }, () => createInstance(gateway.services.db, { accountId: account.id, name: 'same' })),
      )
      const refused = settled.filter((result) => result.status === 'rejected').map((result) => result.reason.code)
      expect(refused).toEqual(Array(49).fill('INSTANCE_NAME_TAKEN'))
    }
  })

  test('of one account never get past its quota', async () => {
    const small = await seed(gateway.services.db).account('small', 3)
    const answers = await Promise.all(
      Array.from({ length: 15 }, (_, index) =>
        gateway.post(CreateInstanceDocument.toString(), small.token, { variables: { input: { name: `n${index}` } } }),
      ),
    )
    expect(codes(answers)).toEqual([...Array(3).fill('OK'), ...Array(12).fill('QUOTA_EXCEEDED')])
  })

  test('beside a delete leave no orphan', async () => {
    for (let round = 0; round < 10; round++) {
      const { id, name } = await shop.instance(`deleted-${round}`)
      const write = gateway.post(SetWebhookDocument.toString(), shop.token, {
        variables: { input: { instance: { name }, config: { url: 'https://example.com' } } },
      })
      const remove = gateway.graphql(DeleteInstanceDocument, { input: { instance: { name } } }, shop.token)
      const [{ errors }] = await Promise.all([write, remove])
      if (errors) expect(errors[0]?.extensions).toEqual({ code: 'INSTANCE_NOT_FOUND' })
      expect(
        await gateway.services.db.selectFrom('webhooks').selectAll().where('instance_id', '=', id).execute(),
      ).toEqual([])
    }
  })

  test('of the token of one account leave one that is alive', async () => {
    const { db } = gateway.services
    const { id } = await seed(db).account('rotated')
    const rotations = await Promise.all(Array.from({ length: 6 }, () => rotateAccountToken(db, 'rotated')))
    const alive = (await listTokens(db, id)).filter(({ revokedAt }) => revokedAt === null)
    expect([rotations.length, alive.length]).toEqual([6, 1])
  })

  test('of the token of an account that is deleted are told that it is not there', async () => {
    const { db } = gateway.services
    for (let round = 0; round < 10; round++) {
      await seed(db).account('gone')
      const [rotated] = await Promise.allSettled([rotateAccountToken(db, 'gone'), deleteAccount(db, 'gone')])
      const refusal = rotated.status === 'rejected' ? rotated.reason.code : null
      expect([null, 'BAD_USER_INPUT']).toContain(refusal)
    }
  })

  test('of one token: one of them gets it', async () => {
    const token = 'the-same-token-of-at-least-32-characters'
    const answers = await Promise.all(
      Array.from({ length: 8 }, (_, index) =>
        gateway.post(CreateInstanceDocument.toString(), shop.token, {
          variables: { input: { name: `t${index}`, token } },
        }),
      ),
    )
    expect(codes(answers)).toEqual([...Array(7).fill('BAD_USER_INPUT'), 'OK'])
  })
})
