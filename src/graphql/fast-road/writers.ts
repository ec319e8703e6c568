import {
  type FieldNode,
  type GraphQLObjectType,
  type GraphQLOutputType,
  isEnumType,
  isLeafType,
  isListType,
  isNonNullType,
  isObjectType,
} from 'graphql'
import { collectSubfields } from 'graphql/execution/collectFields.js'
import { compact } from '../../http/bytes.ts'
import type { Written } from './plan.ts'

/** A selection, or a value, that only the general road can answer. */
export class NotPlain extends Error {}

/** null for whatever is thrown: the general road meets it again, and says it. */
export function orNull<Value>(make: () => Value): Value | null {
  try {
    return make()
  } catch {
    return null
  }
}

/** Writes what a row or a resolver gave, as the JSON that is answered. */
export type Write = (value: unknown) => string

type Fields = ReadonlyMap<string, readonly FieldNode[]>

/** What resolvers of plain fields are given in place of context and info: looking at it is not plain. */
const NOTHING: never = new Proxy(
  {},
  {
    get: () => {
      throw new NotPlain()
    },
  },
) as never

/** Writes an object's fields from its row, by the schema's own resolvers. */
function objectWriter(written: Written, type: GraphQLObjectType, fields: Fields): Write {
  const parts = [...fields].map(([key, nodes], index) => ({
    before: `${index === 0 ? '' : ','}${JSON.stringify(compact(key))}:`,
    write: fieldWriter(written, type, nodes),
  }))
  return (row) => {
    let text = '{'
    for (const { before, write } of parts) text += before + write(row)
    return `${text}}`
  }
}

/** Writes one field from an object's row. */
export function fieldWriter(written: Written, type: GraphQLObjectType, nodes: readonly FieldNode[]): Write {
  const [node] = nodes
  const name = node?.name.value ?? ''
  if (name === '__typename') return () => JSON.stringify(type.name)
  const field = type.getFields()[name]
  if (!field || field.args.length > 0) throw new NotPlain()
  const { resolve } = field
  const write = valueWriter(written, field.type, nodes)
  if (!resolve) return (row) => write((row as Record<string, unknown>)[name])
  return (row) => write(resolve(row, {}, NOTHING, NOTHING))
}

/** Writes what a resolver gave, as its type. */
export function valueWriter(written: Written, type: GraphQLOutputType, nodes: readonly FieldNode[]): Write {
  if (isNonNullType(type)) {
    const write = valueWriter(written, type.ofType, nodes)
    return (value) => write(present(value))
  }
  const write = presentWriter(written, type, nodes)
  return (value) => (value == null ? 'null' : write(value))
}

function presentWriter(written: Written, type: GraphQLOutputType, nodes: readonly FieldNode[]): Write {
  if (isListType(type)) {
    const write = valueWriter(written, type.ofType, nodes)
    return (values) => {
      if (!Array.isArray(values)) throw new NotPlain()
      return `[${values.map(write).join(',')}]`
    }
  }
  if (isEnumType(type)) {
    const texts = new Map(type.getValues().map(({ name, value }) => [value, JSON.stringify(name)]))
    return (value) => present(texts.get(value))
  }
  if (isLeafType(type)) return (value) => JSON.stringify(present(type.serialize(value)))
  if (!isObjectType(type)) throw new NotPlain()
  return objectWriter(written, type, subfieldsOf(written, type, nodes))
}

function present<Value>(value: Value): NonNullable<Value> {
  if (value == null) throw new NotPlain()
  return value
}

/** As the executor collects them: fragments flattened, repeats merged, `@skip` and `@include` obeyed. */
export const subfieldsOf = (
  { schema, fragments, variables }: Written,
  type: GraphQLObjectType,
  nodes: readonly FieldNode[],
): Fields => collectSubfields(schema, fragments, variables, type, nodes)
