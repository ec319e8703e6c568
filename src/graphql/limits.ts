import {
  type DocumentNode,
  type FragmentDefinitionNode,
  Kind,
  OperationTypeNode,
  type SelectionSetNode,
  visit,
} from 'graphql'
import { GatewayError } from '../errors.ts'

/** Most lexical tokens of a document; the parser stops there. */
export const MAX_TOKENS = 2_000

const LIMITS = { depth: 12, fields: 200, rootFields: 20, aliases: 20, streamFields: 100 } as const
/** Fields written in the whole document, unused fragments included: validation compares each with its neighbours. */
const MAX_WRITTEN_FIELDS = 250
/** Introspection is deep and broad by nature and has its own ceiling; its list nesting is bounded by graphql's own rule. */
const INTROSPECTION_LIMITS = { introspectionDepth: 20, introspectionFields: 500 } as const

type Cost = Record<keyof typeof LIMITS | keyof typeof INTROSPECTION_LIMITS, number>

const WORDS: Record<keyof Cost, string> = {
  depth: 'levels deep',
  fields: 'fields',
  rootFields: 'root fields',
  aliases: 'aliases',
  streamFields: 'fields that are read with each event',
  introspectionDepth: 'levels of introspection',
  introspectionFields: 'introspection fields',
}

const tooComplex = (what: string, limit: number) =>
  new GatewayError(
    'QUERY_TOO_COMPLEX',
    `The operation has ${what}; at most ${limit} are possible. Ask for less, or in several requests`,
  )

/** Why a document is refused before anything else looks at it, or null. Fragments count where they are used. */
export function findExcess(document: DocumentNode): GatewayError | null {
  const { cost, cycle } = measure(document)
  const written = countFields(document)
  if (cycle) {
    return new GatewayError('GRAPHQL_VALIDATION_FAILED', `The fragment "${cycle}" spreads itself. Take the spread out`)
  }
  if (written > MAX_WRITTEN_FIELDS) return tooComplex(`${written} fields written in its document`, MAX_WRITTEN_FIELDS)
  for (const [name, limit] of Object.entries({ ...LIMITS, ...INTROSPECTION_LIMITS }) as [keyof Cost, number][]) {
    if (cost[name] > limit) {
      return tooComplex(`${cost[name]} ${WORDS[name]}`, limit)
    }
  }
  return null
}

const nothing = (): Cost => ({
  depth: 0,
  fields: 0,
  rootFields: 0,
  aliases: 0,
  streamFields: 0,
  introspectionDepth: 0,
  introspectionFields: 0,
})

/** The largest cost among the operations of a document, and what validation would find costly, in time linear in its size. */
function measure(document: DocumentNode): { cost: Cost; cycle: string | null } {
  let cycle: string | null = null
  const fragments = new Map<string, FragmentDefinitionNode>()
  for (const definition of document.definitions) {
    if (definition.kind === Kind.FRAGMENT_DEFINITION) fragments.set(definition.name.value, definition)
  }
  const costOfFragment = new Map<string, Cost | 'being measured'>()

  const ofFragment = (name: string): Cost => {
    const known = costOfFragment.get(name)
    if (known === 'being measured') cycle = name
    if (known) return known === 'being measured' ? nothing() : known
    costOfFragment.set(name, 'being measured')
    const fragment = fragments.get(name)
    const cost = fragment ? ofSelections(fragment.selectionSet) : nothing()
    costOfFragment.set(name, cost)
    return cost
  }

  /** `rootFields` counts the fields of this level. */
  const ofSelections = ({ selections }: SelectionSetNode): Cost => {
    const total = nothing()
    for (const selection of selections) {
      if (selection.kind === Kind.INLINE_FRAGMENT) add(total, ofSelections(selection.selectionSet))
      else if (selection.kind === Kind.FRAGMENT_SPREAD) add(total, ofFragment(selection.name.value))
      else {
        const inner = selection.selectionSet ? ofSelections(selection.selectionSet) : nothing()
        const field = { ...inner, depth: inner.depth + 1, fields: inner.fields + 1, rootFields: 1 }
        if (selection.alias) field.aliases++
        add(total, isIntrospection(selection.name.value) ? asIntrospection(field) : field)
      }
    }
    return total
  }

  const largest = nothing()
  for (const definition of document.definitions) {
    if (definition.kind !== Kind.OPERATION_DEFINITION) continue
    const cost = ofSelections(definition.selectionSet)
    if (definition.operation === OperationTypeNode.SUBSCRIPTION) cost.streamFields = cost.fields
    for (const name of Object.keys(cost) as (keyof Cost)[]) largest[name] = Math.max(largest[name], cost[name])
  }
  // Fragments that nothing uses are validated, too.
  for (const name of fragments.keys()) ofFragment(name)
  return { cost: largest, cycle }
}

function countFields(document: DocumentNode): number {
  let fields = 0
  visit(document, { Field: () => void fields++ })
  return fields
}

const isIntrospection = (name: string) => name === '__schema' || name === '__type'

const asIntrospection = ({ depth, fields, rootFields, aliases }: Cost): Cost => ({
  ...nothing(),
  rootFields,
  aliases,
  introspectionDepth: depth,
  introspectionFields: fields,
})

const DEPTHS = new Set<keyof Cost>(['depth', 'introspectionDepth'])

function add(total: Cost, part: Cost): void {
  for (const measure of Object.keys(total) as (keyof Cost)[]) {
    total[measure] = DEPTHS.has(measure) ? Math.max(total[measure], part[measure]) : total[measure] + part[measure]
  }
}
