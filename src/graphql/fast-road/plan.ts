import {
  type ASTNode,
  type DocumentNode,
  type FieldNode,
  type FragmentDefinitionNode,
  getVariableValues,
  type GraphQLSchema,
  Kind,
  OperationTypeNode,
  type OperationDefinitionNode,
  visit,
} from 'graphql'
import { collectFields } from 'graphql/execution/collectFields.js'
import { getArgumentValues } from 'graphql/execution/values.js'
import { LRUCache } from 'lru-cache'
import { compact } from '../../http/bytes.ts'
import type { NameFilter } from '../../instance/filter.ts'
import { filterOfNames } from '../../instance/names.ts'
import type { Viewer } from '../../viewer/viewer.ts'
import { fragmentsOf } from '../root-fields.ts'
import { InstanceSelection } from './instance-selection.ts'
import { NotPlain, orNull } from './writers.ts'

/** Selections of one document, which differ in what its @skip and @include say. */
const MAX_VARIANTS = 16

/** What a selection is compiled from. */
export type Written = {
  schema: GraphQLSchema
  fragments: Record<string, FragmentDefinitionNode>
  variables: Record<string, unknown>
}

type Arguments = Record<string, unknown>
type ArgumentsOf = (variables: Record<string, unknown>) => Arguments

/** A root field: which instances, and what of each; `before` stands before its value in the answer. */
type Root =
  | { before: string; name: 'instances' | 'instance'; argumentsOf: ArgumentsOf; selection: InstanceSelection }
  | { before: string; name: '__typename' }

/** A root field with its arguments. */
export type Asked =
  | { before: string; name: 'instances' | 'instance'; filter: NameFilter; selection: InstanceSelection }
  | { before: string; name: '__typename' }

type Variables = Record<string, unknown> | null | undefined

/** A valid document with one query that asks for instances and plain fields of them, compiled once. */
export class Plan {
  readonly operationName: string | undefined
  readonly #schema: GraphQLSchema
  readonly #operation: OperationDefinitionNode
  readonly #fragments: Record<string, FragmentDefinitionNode>
  readonly #conditions: readonly string[]
  readonly #variants = new LRUCache<string, { roots: readonly Root[] | null }>({ max: MAX_VARIANTS })

  /** @throws NotPlain */
  constructor(schema: GraphQLSchema, document: DocumentNode) {
    const [operation, another] = document.definitions.filter(({ kind }) => kind === Kind.OPERATION_DEFINITION)
    if (operation?.kind !== Kind.OPERATION_DEFINITION || another) throw new NotPlain()
    if (operation.operation !== OperationTypeNode.QUERY) throw new NotPlain()
    this.operationName = operation.name?.value
    this.#schema = schema
    this.#operation = operation
    this.#fragments = fragmentsOf(document)
    this.#conditions = conditionsOf(document)
  }

  /**
   * What is asked with these variables.
   * @throws NotPlain, also for variables and arguments that do not fit: the general road says what is wrong
   */
  ask(viewer: Viewer, given: Variables): readonly Asked[] {
    const variables = this.#coerce(given ?? {})
    return this.#rootsFor(variables).map((root) => {
      if (root.name === '__typename') return root
      const { before, name, argumentsOf, selection } = root
      return { before, name, selection, filter: filterOf(viewer, name, argumentsOf(variables)) }
    })
  }

  #coerce(given: Record<string, unknown>): Record<string, unknown> {
    const definitions = this.#operation.variableDefinitions ?? []
    if (definitions.length === 0) return {}
    const { coerced } = getVariableValues(this.#schema, definitions, given, { maxErrors: 1 })
    if (!coerced) throw new NotPlain()
    return coerced
  }

  #rootsFor(variables: Record<string, unknown>): readonly Root[] {
    const variant = this.#conditions.map((name) => variables[name]).join()
    const known = this.#variants.get(variant) ?? { roots: this.#compile(variables) }
    this.#variants.set(variant, known)
    if (!known.roots) throw new NotPlain()
    return known.roots
  }

  /** null: not plain. */
  #compile(variables: Record<string, unknown>): Root[] | null {
    const written = { schema: this.#schema, fragments: this.#fragments, variables }
    const query = this.#schema.getQueryType()
    if (!query) throw new NotPlain()
    const fields = collectFields(this.#schema, this.#fragments, variables, query, this.#operation.selectionSet)
    return orNull(() => [...fields].map(([key, nodes]) => rootOf(written, key, nodes)))
  }
}

/** @throws NotPlain */
function rootOf(written: Written, key: string, nodes: readonly FieldNode[]): Root {
  const [node] = nodes
  const name = node?.name.value
  const before = `${JSON.stringify(compact(key))}:`
  if (name === '__typename') return { before, name }
  if (!node || (name !== 'instances' && name !== 'instance')) throw new NotPlain()
  return { before, name, argumentsOf: argumentsOf(written, node), selection: new InstanceSelection(written, nodes) }
}

/** Arguments without variables are the same each time. */
function argumentsOf({ schema }: Written, node: FieldNode): ArgumentsOf {
  const field = schema.getQueryType()?.getFields()[node.name.value]
  if (!field) throw new NotPlain()
  const read = (variables: Record<string, unknown>): Arguments => getArgumentValues(field, node, variables)
  if (node.arguments?.some((argument) => variablesIn(argument).length > 0)) return read
  const fixed = read({})
  return () => fixed
}

/** The variables on which it depends what is selected. */
function conditionsOf(document: DocumentNode): string[] {
  const names: string[] = []
  visit(document, { Directive: (directive) => void names.push(...variablesIn(directive)) })
  return [...new Set(names)]
}

function variablesIn(node: ASTNode): string[] {
  const names: string[] = []
  visit(node, { Variable: ({ name }) => void names.push(name.value) })
  return names
}

/**
 * The rules of the resolvers of `instances` and `instance` over their arguments.
 * @throws whatever the rules refuse
 */
function filterOf(viewer: Viewer, name: 'instances' | 'instance', args: Arguments): NameFilter {
  if (name === 'instance') return [args.name as string]
  return filterOfNames(viewer, args.names as readonly (string | null)[] | null | undefined)
}
