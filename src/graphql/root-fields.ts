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
  typeFromAST,
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
  if (errors?.[0]) throw badVariable(schema, errors[0], variables ?? {})
  const rootType = schema.getRootType(operation.operation)
  if (!coerced || !rootType) return []
  const fields = collectFields(schema, fragmentsOf(document), coerced, rootType, operation.selectionSet)
  return [...fields.values()].map(([field]) => field?.name.value ?? '')
}

/** graphql prints the whole value into its message, secrets and all: the place and the reason are found again without it. */
function badVariable(schema: GraphQLSchema, error: GraphQLError, variables: Record<string, unknown>): GatewayError {
  const node = error.nodes?.[0]
  if (node?.kind !== Kind.VARIABLE_DEFINITION) return new GatewayError('BAD_USER_INPUT', withoutValues(error.message))
  const name = node.variable.name.value
  const type = typeFromAST(schema, node.type)
  let found: { field: string; reason: string } | undefined
  if (isInputType(type)) {
    coerceInputValue(variables[name], type, (path, _value, { message }) => {
      found ??= { field: [name, ...path].join('.'), reason: withoutValues(message) }
    })
  }
  const { field, reason } = found ?? { field: name, reason: withoutValues(error.message) }
  return badUserInput(field, `${field}: ${reason}`)
}

export function fragmentsOf(document: DocumentNode): Record<string, FragmentDefinitionNode> {
  const fragments = document.definitions.filter((definition) => definition.kind === Kind.FRAGMENT_DEFINITION)
  return Object.fromEntries(fragments.map((fragment) => [fragment.name.value, fragment]))
}
