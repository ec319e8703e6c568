import { type FieldNode, type GraphQLObjectType, isObjectType } from 'graphql'
import type { ConnectionStatus } from '../../connection/state.ts'
import type { Pieces } from '../../http/pieces.ts'
import type { Instance } from '../../instance/queries.ts'
import { defaultWebhookOf } from '../../integration/queries.ts'
import type { BlockName, Blocks } from '../../read-model/blocks.ts'
import type { InstanceRecord } from '../../read-model/instance-record.ts'
import type { Written } from './plan.ts'
import { fieldReader, NotPlain, oneByte, type Read, subfieldsOf, valueReader } from './readers.ts'

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
 * connection is written anew each time, between those texts.
 */
export class InstanceSelection {
  readonly blocks: readonly BlockName[]
  /** Around each connection: one list more than there are connections. */
  readonly #around: Part[][] = [[]]
  readonly #connections: Read[] = []

  constructor(written: Written, nodes: readonly FieldNode[]) {
    const type = written.schema.getType('Instance')
    if (!isObjectType(type)) throw new NotPlain()
    const blocks = new Set<BlockName>()
    let prefix = '{'
    for (const [key, fieldNodes] of subfieldsOf(written, type, nodes)) {
      this.#addText(`${prefix}${JSON.stringify(oneByte(key))}:`)
      prefix = ','
      const name = fieldNodes[0]?.name.value ?? ''
      const blockField = Object.hasOwn(BLOCK_FIELDS, name) ? BLOCK_FIELDS[name] : undefined
      if (name === 'connection') {
        this.#connections.push(blockReader(written, type, name, fieldNodes))
        this.#around.push([])
      } else if (blockField) {
        const read = blockReader(written, type, name, fieldNodes)
        blocks.add(blockField.block)
        this.#around.at(-1)?.push((record) => JSON.stringify(read(blockField.of(record.blocks))))
      } else if (OWN_FIELDS.has(name)) {
        const read = fieldReader(written, type, fieldNodes)
        this.#around.at(-1)?.push((record) => JSON.stringify(read(record.instance)))
      } else throw new NotPlain()
    }
    this.#addText(prefix === '{' ? '{}' : '}')
    this.blocks = [...blocks]
  }

  write(record: InstanceRecord, body: Pieces, statusOf: (instance: Instance) => ConnectionStatus): void {
    const [first, ...others] = record.written(this, () => this.#textsOf(record))
    if (first) body.add(first)
    if (this.#connections.length === 0) return
    const status = statusOf(record.instance)
    for (const [index, read] of this.#connections.entries()) {
      body.add(JSON.stringify(read(status)))
      const after = others[index]
      if (after) body.add(after)
    }
  }

  #addText(text: string): void {
    this.#around.at(-1)?.push(() => text)
  }

  #textsOf(record: InstanceRecord): string[] {
    return this.#around.map((parts) => parts.map((part) => part(record)).join(''))
  }
}

function blockReader(written: Written, type: GraphQLObjectType, name: string, nodes: readonly FieldNode[]): Read {
  const field = type.getFields()[name]
  if (!field || field.args.length > 0) throw new NotPlain()
  return valueReader(written, field.type, nodes)
}
