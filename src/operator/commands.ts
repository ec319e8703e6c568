import type { Kysely } from 'kysely'
import { createAccount, deleteAccount, getAccountByName, rotateAccountToken } from '../account/actions.ts'
import { listAccounts } from '../account/queries.ts'
import { ownerOf } from '../cluster/owners.ts'
import type { DB } from '../db/types.ts'
import { badUserInput, GatewayError } from '../errors.ts'
import { createInstance, deleteInstance } from '../instance/actions.ts'
import { parseName } from '../name.ts'
import { isPhoneNumber, PHONE_NUMBER_RULE } from '../pairing/phone-number.ts'
import { type Instance, listInstances, listInstancesByName } from '../instance/queries.ts'
import type { Logger } from '../logger.ts'
import { rotateKeys } from '../sealing/rotate.ts'
import type { KeyIds, Sealer } from '../sealing/sealer.ts'
import type { Services } from '../services.ts'
import type { SessionRegistry } from '../session/registry.ts'
import { isRefusedToken, refusedToken, revokeToken } from '../token/actions.ts'
import { listTokens } from '../token/queries.ts'
import { connectInstance } from './connect-instance.ts'
import { drainNode, listNodesForPeople, nameOfNode } from './nodes.ts'
import type { Follower } from './step.ts'
import { IMPORTED_TOKEN_RULE, isChosenToken, MIN_IMPORTED_LENGTH } from '../token/token.ts'

/** What an operator typed: positional arguments and options, all text. */
export type CommandInput = {
  args: readonly string[]
  options: Readonly<Partial<Record<OptionName, string>>>
  /** Of the keys in the operator's environment, where a gateway with an environment of its own runs the command. */
  keys?: KeyIds | undefined
}
export type OptionName = 'quota' | 'token' | 'phone'

/** The one JSON object that a command answers with. */
export type CommandOutput = Record<string, unknown>

type Command = {
  /** Names of the positional arguments, in order. */
  args: readonly string[]
  options: readonly OptionName[]
  summary: string
  /** It tells of many gateways on one database, which the embedded one cannot have. */
  needsPostgres?: true
  /** It makes an embedded database where there is none; the others need one to find anything. */
  makesDatabase?: true
  run(tools: CommandTools, input: CommandInput, follower: Follower): Promise<CommandOutput>
}

/** What a command works with. */
export type CommandTools = {
  db: Kysely<DB>
  logger: Logger
  /** @throws when the key is not configured, which only `keys rotate` needs */
  sealer(): Sealer
  /** What is open in the gateway that runs the command, which has to learn of it; null where none does. */
  live: Pick<Services, 'sessions' | 'tokenWatch'> | null
  /**
   * The sessions of the gateway, or of this process for as long as the command runs.
   * @throws GatewayError SERVICE_UNAVAILABLE when another process runs them, which cannot be reached from here
   */
  openSessions(): Promise<SessionRegistry>
}

/** Every operator command by its words. */
export const COMMANDS: Readonly<Record<string, Command>> = {
  'account create': {
    args: ['NAME'],
    options: ['quota', 'token'],
    summary: 'make an account and print its token, this once',
    makesDatabase: true,
    run: ({ db }, { args: [name = ''], options }) =>
      imported(options.token, (token) => createAccount(db, { name, quota: quotaOf(options.quota), token })),
  },
  'account list': {
    args: [],
    options: [],
    summary: 'show all accounts',
    run: async ({ db }) => ({ accounts: await listAccounts(db) }),
  },
  'account delete': {
    args: ['NAME'],
    options: [],
    summary: 'delete an account with all its instances',
    run: async ({ db, live }, { args: [name = ''] }) => {
      const { id, name: found } = await getAccountByName(db, name)
      let ended: readonly string[] = []
      const erase = async () => {
        const { instances, tokenIds } = await deleteAccount(db, name)
        ended = tokenIds
        return instances
      }
      if (live) await live.sessions.deleteInstances(await listInstances(db, { kind: 'account', accountId: id }), erase)
      else await erase()
      live?.tokenWatch.endSoon(ended)
      return { id, name: found }
    },
  },
  'account rotate-token': {
    args: ['NAME'],
    options: [],
    summary: 'replace the token of an account and print the new one, this once',
    run: async ({ db, live }, { args: [name = ''] }) => {
      const { revokedIds, ...rotated } = await rotateAccountToken(db, name)
      live?.tokenWatch.end(revokedIds)
      return rotated
    },
  },
  'instance create': {
    args: ['ACCOUNT', 'NAME'],
    options: ['token'],
    summary: 'make an instance and print its token, this once',
    run: async ({ db, live }, { args: [account = '', name = ''], options }) => {
      const { id: accountId } = await getAccountByName(db, account)
      const { instance, token } = await imported(options.token, (chosen) =>
        createInstance(db, { accountId, name, token: chosen }),
      )
      live?.sessions.noteCreated(instance)
      return { id: instance.id, name: instance.name, token }
    },
  },
  'instance list': {
    args: ['ACCOUNT'],
    options: [],
    summary: 'show the instances of an account',
    run: async ({ db }, { args: [account = ''] }) => {
      const { id: accountId } = await getAccountByName(db, account)
      const instances = await listInstances(db, { kind: 'account', accountId })
      return {
        instances: instances.map(({ id, name, numberJid, createdAt }) => ({ id, name, numberJid, createdAt })),
      }
    },
  },
  'instance connect': {
    args: ['ACCOUNT', 'NAME'],
    options: ['phone'],
    summary: 'link a phone by QR, or by a code with --phone and its digits, and wait until connected',
    run: async (
      { db, openSessions },
      { args: [account = '', name = ''], options: { phone = null } },
      { tell, signal },
    ) => {
      if (phone !== null && !isPhoneNumber(phone))
        throw badUserInput('phone', `--phone ${phone}: expected ${PHONE_NUMBER_RULE}`)
      const instance = await getInstanceByName(db, account, name)
      const sessions = await openSessions()
      await connectInstance(sessions, instance, phone, tell, signal)
      const { state, numberJid } = sessions.statusOf(instance)
      return { id: instance.id, name: instance.name, state, numberJid }
    },
  },
  'instance where': {
    args: ['ACCOUNT', 'NAME'],
    options: [],
    summary: 'show which node owns the session of an instance',
    needsPostgres: true,
    run: async ({ db }, { args: [account = '', name = ''] }) => {
      const instance = await getInstanceByName(db, account, name)
      const { node, epoch } = (await ownerOf(db, instance.id)) ?? { node: null, epoch: 0 }
      return {
        id: instance.id,
        name: instance.name,
        node: node?.id ?? null,
        nodeName: node && (await nameOfNode(db, node)),
        address: node?.address ?? null,
        epoch,
      }
    },
  },
  'instance delete': {
    args: ['ACCOUNT', 'NAME'],
    options: [],
    summary: 'delete an instance, its token and its integrations',
    run: async ({ db, live }, { args: [account = '', name = ''] }) => {
      const instance = await getInstanceByName(db, account, name)
      const { id, accountId } = instance
      let ended: readonly string[] = []
      const erase = async () => {
        const deleted = await deleteInstance(db, { kind: 'account', accountId }, { id })
        ended = deleted.tokenIds
        return [deleted.instance]
      }
      await (live ? live.sessions.deleteInstances([instance], erase) : erase())
      live?.tokenWatch.endSoon(ended)
      return { id: instance.id, name: instance.name }
    },
  },
  'token list': {
    args: ['ACCOUNT'],
    options: [],
    summary: 'show the tokens of an account and its instances, without their values',
    run: async ({ db }, { args: [account = ''] }) => {
      const { id } = await getAccountByName(db, account)
      return { tokens: await listTokens(db, id) }
    },
  },
  'token revoke': {
    args: ['ID'],
    options: [],
    summary: 'end a token at once',
    run: async ({ db, live }, { args: [id = ''] }) => {
      const revoked = await revokeToken(db, id)
      live?.tokenWatch.end([revoked.id])
      return revoked
    },
  },
  'node list': {
    args: [],
    options: [],
    summary: 'show the gateways that run on this database, the oldest first',
    needsPostgres: true,
    run: async ({ db }) => ({ nodes: await listNodesForPeople(db) }),
  },
  'node drain': {
    args: ['NODE'],
    options: [],
    summary:
      'have a gateway hand its sessions to the others and take none until it is restarted; waits until it runs none',
    needsPostgres: true,
    run: ({ db }, { args: [node = ''] }, follower) => drainNode(db, node, follower),
  },
  'keys rotate': {
    args: [],
    options: [],
    summary: 'seal anew, with ENCRYPTION_KEY, what ENCRYPTION_KEY_PREVIOUS sealed',
    run: async ({ db, logger, sealer: getSealer }, { keys = {} }) => {
      const sealer = getSealer()
      if (!sealer.hasKeys(keys)) {
        throw new GatewayError(
          'CONFLICT',
          'The running gateway has other keys, and nothing was done. Restart it with this ENCRYPTION_KEY and ENCRYPTION_KEY_PREVIOUS first',
        )
      }
      const { resealed, unreadable } = await rotateKeys(db, sealer, logger)
      if (unreadable.length === 0) return { resealed }
      const places = unreadable.map(({ table, column, row }) => `${table}.${column} of ${row}`).join(', ')
      throw new GatewayError(
        'CONFLICT',
        `${resealed} secrets were sealed anew; these cannot be read and stay as they are: ${places}. Set ENCRYPTION_KEY_PREVIOUS to the key that sealed them, or write them again`,
      )
    },
  },
}

/** @throws GatewayError BAD_USER_INPUT, INSTANCE_NOT_FOUND */
async function getInstanceByName(db: Kysely<DB>, account: string, name: string): Promise<Instance> {
  const { id: accountId } = await getAccountByName(db, account)
  const [instance] = await listInstancesByName(db, { kind: 'account', accountId }, [parseName(name) ?? name])
  if (instance) return instance
  throw new GatewayError(
    'INSTANCE_NOT_FOUND',
    `The account has no instance named ${name}. "instance list" shows those that exist`,
  )
}

const MAX_QUOTA = 1_000_000

function quotaOf(text: string | undefined): number | undefined {
  if (text === undefined) return undefined
  if (!/^\d{1,7}$/.test(text) || Number(text) > MAX_QUOTA) {
    throw badUserInput('quota', `--quota ${text}: expected a whole number from 0 to ${MAX_QUOTA}`)
  }
  return Number(text)
}

/**
 * An operator may bring a token that clients have in use, also a shorter one than a user could choose; one that cannot
 * be used and one that is in use get the same answer.
 */
async function imported<Made>(token: string | undefined, make: (token?: string) => Promise<Made>): Promise<Made> {
  try {
    if (token !== undefined && !isChosenToken(token, MIN_IMPORTED_LENGTH)) throw refusedToken()
    return await make(token)
  } catch (error) {
    if (!isRefusedToken(error)) throw error
    throw badUserInput('token', `The token cannot be used. It has to be ${IMPORTED_TOKEN_RULE}; try another one`)
  }
}

/** A command by its words; undefined when there is none. */
export const findCommand = (name: string): Command | undefined =>
  Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined
