import { type FieldNode, type GraphQLObjectType, isObjectType } from 'graphql'
import type { ConnectionStatus } from '../../connection/state.ts'
import { type Bytes, compact } from '../../http/bytes.ts'
import type { Instance } from '../../instance/queries.ts'
import { defaultWebhookOf } from '../../integration/queries.ts'
import type { BlockName, Blocks } from '../../read-model/blocks.ts'
import type { InstanceRecord } from '../../read-model/instance-record.ts'
import type { Written } from './plan.ts'
import { fieldWriter, NotPlain, subfieldsOf, valueWriter, type Write } from './writers.ts'

/** Fields that are columns of the instance itself. */
const OWN_FIELDS = new Set(['__typename', 'id', 'name', 'createdAt', 'updatedAt'])

/** Fields that are a block, or made from one. */
const BLOCK_FIELDS: Record<string, { block: BlockName; of(blocks: Partial<Blocks>): unknown }> = {
  profile: { block: 'profile', of: ({ profile }) => profile },
  webhook: { block: 'webhooks', of: ({ webhooks = [] }) => defaultWebhookOf(webhooks) },
  webhooks: { block: 'webhooks', of: ({ webhooks }) => webhooks },
  websocket: { block: 'websocket', of: ({ websocket }) => websocket },
  chatwoot: { block: 'chatwoot', of: ({ chatwoot }) => chatwoot },
  proxy: { block: 'proxy', of: ({ proxy }) => proxy },
  settings: { block: 'settings', of: ({ settings }) => settings },
  s3: { block: 's3', of: ({ s3 }) => s3 },
}

type Part = (record: InstanceRecord) => string

/**
 * What is selected of each instance. What its rows say is written once and kept with the record until it changes; the
 * connection, between those texts, is written whenever its status is another one.
 */
export class InstanceSelection {
  readonly blocks: readonly BlockName[]
  /** Around each connection: one list more than there are connections. */
  readonly #around: Part[][] = [[]]
  readonly #connections: Write[] = []

  constructor(written: Written, nodes: readonly FieldNode[]) {
    const type = written.schema.getType('Instance')
    if (!isObjectType(type)) throw new NotPlain()
    const blocks = new Set<BlockName>()
    let prefix = '{'
    for (const [key, fieldNodes] of subfieldsOf(written, type, nodes)) {
      this.#addText(`${prefix}${JSON.stringify(compact(key))}:`)
      prefix = ','
      const name = fieldNodes[0]?.name.value ?? ''
      const blockField = Object.hasOwn(BLOCK_FIELDS, name) ? BLOCK_FIELDS[name] : undefined
      if (name === 'connection') {
        this.#connections.push(blockWriter(written, type, name, fieldNodes))
        this.#around.push([])
      } else if (blockField) {
        const write = blockWriter(written, type, name, fieldNodes)
        blocks.add(blockField.block)
        this.#around.at(-1)?.push((record) => write(blockField.of(record.blocks)))
      } else if (OWN_FIELDS.has(name)) {
        const write = fieldWriter(written, type, fieldNodes)
        this.#around.at(-1)?.push((record) => write(record.instance))
      } else throw new NotPlain()
    }
    this.#addText(prefix === '{' ? '{}' : '}')
    this.blocks = [...blocks]
  }

  write(record: InstanceRecord, statusOf: (instance: Instance) => ConnectionStatus): Bytes {
    const written = record.written(this, () => this.#textsOf(record))
    let [text = ''] = written.rows as readonly string[]
    if (this.#connections.length === 0) return text as Bytes
    const connections = written.connections(statusOf(record.instance), this.#writeConnections)
    for (const [index, connection] of connections.entries()) text += connection + written.rows[index + 1]
    return text as Bytes
  }

  readonly #writeConnections = (status: ConnectionStatus): string[] => this.#connections.map((write) => write(status))

  #addText(text: string): void {
    this.#around.at(-1)?.push(() => text)
  }

  #textsOf(record: InstanceRecord): string[] {
    return this.#around.map((parts) => parts.map((part) => part(record)).join(''))
  }
}

function blockWriter(written: Written, type: GraphQLObjectType, name: string, nodes: readonly FieldNode[]): Write {
  const field = type.getFields()[name]
  if (!field || field.args.length > 0) throw new NotPlain()
  return valueWriter(written, field.type, nodes)
}
