import {
  coerceInputValue,
  type GraphQLSchema,
  getVariableValues,
  type OperationDefinitionNode,
  type DocumentNode,
  Kind,
  type FragmentDefinitionNode,
  type GraphQLError,
  isInputType,
  type SelectionSetNode,
  typeFromAST,
  type ValueNode,
  visit,
} from 'graphql'
import { collectFields } from 'graphql/execution/collectFields.js'
import { badUserInput, GatewayError } from '../errors.ts'
import { withoutValues } from './without-values.ts'

/**
 * The names of the root fields that an operation will execute, one per key of the answer: `@skip` and `@include` are
 * obeyed, repeats merged, aliases not.
 * @throws GatewayError BAD_USER_INPUT when the variables do not fit
 */
export function rootFieldsOf(
  schema: GraphQLSchema,
  document: DocumentNode,
  operation: OperationDefinitionNode,
  variables: Record<string, unknown> | null | undefined,
): string[] {
  const { errors, coerced } = getVariableValues(schema, operation.variableDefinitions ?? [], variables ?? {}, {
    maxErrors: 1,
  })
  if (errors?.[0]) throw badVariable(schema, document, operation, errors[0], variables ?? {})
  const rootType = schema.getRootType(operation.operation)
  if (!coerced || !rootType) return []
  const fields = collectFields(schema, fragmentsOf(document), coerced, rootType, operation.selectionSet)
  return [...fields.values()].map(([field]) => field?.name.value ?? '')
}

/** The names of the root fields that are written in an operation, whether variables skip them or not. */
export function writtenRootFields(document: DocumentNode, operation: OperationDefinitionNode): Set<string> {
  const fragments = fragmentsOf(document)
  const names = new Set<string>()
  const visited = new Set<string>()
  const collect = ({ selections }: SelectionSetNode): void => {
    for (const selection of selections) {
      if (selection.kind === Kind.FIELD) names.add(selection.name.value)
      else if (selection.kind === Kind.INLINE_FRAGMENT) collect(selection.selectionSet)
      else if (!visited.has(selection.name.value)) {
        visited.add(selection.name.value)
        const fragment = fragments[selection.name.value]
        if (fragment) collect(fragment.selectionSet)
      }
    }
  }
  collect(operation.selectionSet)
  return names
}

/** graphql prints the whole value into its message, secrets and all: the place and the reason are found again without it. */
function badVariable(
  schema: GraphQLSchema,
  document: DocumentNode,
  operation: OperationDefinitionNode,
  error: GraphQLError,
  variables: Record<string, unknown>,
): GatewayError {
  const node = error.nodes?.[0]
  if (node?.kind !== Kind.VARIABLE_DEFINITION) return new GatewayError('BAD_USER_INPUT', withoutValues(error.message))
  const name = node.variable.name.value
  const type = typeFromAST(schema, node.type)
  const place = placeOf(name, [operation, ...Object.values(fragmentsOf(document))])
  let found: { field: string; reason: string } | undefined
  if (isInputType(type)) {
    coerceInputValue(variables[name], type, (path, _value, { message }) => {
      found ??= { field: [place, ...path].join('.'), reason: withoutValues(message) }
    })
  }
  const { field, reason } = found ?? { field: place, reason: withoutValues(error.message) }
  return badUserInput(field, `${field}: ${reason}`)
}

/** Where a variable is used first, as the path of an argument: what is wrong with a value is told by one path, whoever finds it. */
function placeOf(variable: string, definitions: readonly (OperationDefinitionNode | FragmentDefinitionNode)[]): string {
  let place: string | undefined
  const look = (value: ValueNode, path: string): void => {
    if (value.kind === Kind.VARIABLE && value.name.value === variable) place ??= path
    else if (value.kind === Kind.LIST) value.values.forEach((item, index) => look(item, `${path}.${index}`))
    else if (value.kind === Kind.OBJECT)
      value.fields.forEach((field) => look(field.value, `${path}.${field.name.value}`))
  }
  for (const { selectionSet } of definitions) {
    visit(selectionSet, { Argument: ({ name, value }) => look(value, name.value) })
  }
  return place ?? variable
}

export function fragmentsOf(document: DocumentNode): Record<string, FragmentDefinitionNode> {
  const fragments = document.definitions.filter((definition) => definition.kind === Kind.FRAGMENT_DEFINITION)
  return Object.fromEntries(fragments.map((fragment) => [fragment.name.value, fragment]))
}
