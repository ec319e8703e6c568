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

/** Makes what is answered, ready for JSON, of what a row or a resolver gave. */
export type Read = (value: unknown) => unknown

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

/**
 * A name, which is ASCII, with one byte a character: a document with other characters in it has two everywhere, and so
 * would every answer that repeats a name of it.
 */
export const oneByte = (name: string): string => Buffer.from(name, 'latin1').toString('latin1')

/** Reads an object's fields from its row, by the schema's own resolvers. */
function objectReader(written: Written, type: GraphQLObjectType, fields: Fields): Read {
  const parts = [...fields].map(([key, nodes]) => {
    // The one name that an object would not keep.
    if (key === '__proto__') throw new NotPlain()
    return { key: oneByte(key), read: fieldReader(written, type, nodes) }
  })
  return (row) => {
    const object: Record<string, unknown> = {}
    for (const { key, read } of parts) object[key] = read(row)
    return object
  }
}

/** Reads one field from an object's row. */
export function fieldReader(written: Written, type: GraphQLObjectType, nodes: readonly FieldNode[]): Read {
  const [node] = nodes
  const name = node?.name.value ?? ''
  if (name === '__typename') return () => type.name
  const field = type.getFields()[name]
  if (!field || field.args.length > 0) throw new NotPlain()
  const { resolve } = field
  const read = valueReader(written, field.type, nodes)
  if (!resolve) return (row) => read((row as Record<string, unknown>)[name])
  return (row) => read(resolve(row, {}, NOTHING, NOTHING))
}

/** Reads what a resolver gave, as its type. */
export function valueReader(written: Written, type: GraphQLOutputType, nodes: readonly FieldNode[]): Read {
  if (isNonNullType(type)) {
    const read = valueReader(written, type.ofType, nodes)
    return (value) => {
      if (value == null) throw new NotPlain()
      return read(value)
    }
  }
  const read = presentReader(written, type, nodes)
  return (value) => (value == null ? null : read(value))
}

function presentReader(written: Written, type: GraphQLOutputType, nodes: readonly FieldNode[]): Read {
  if (isListType(type)) {
    const read = valueReader(written, type.ofType, nodes)
    return (values) => {
      if (!Array.isArray(values)) throw new NotPlain()
      return values.map(read)
    }
  }
  if (isEnumType(type)) {
    const names = new Map(type.getValues().map(({ name, value }) => [value, name]))
    return (value) => present(names.get(value))
  }
  if (isLeafType(type)) return (value) => present(type.serialize(value))
  if (!isObjectType(type)) throw new NotPlain()
  return objectReader(written, type, subfieldsOf(written, type, nodes))
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
