import {
  type GraphQLSchema,
  getVariableValues,
  type OperationDefinitionNode,
  type DocumentNode,
  Kind,
  type FragmentDefinitionNode,
  type GraphQLError,
} from 'graphql'
import { collectFields } from 'graphql/execution/collectFields.js'
import { GatewayError } from '../errors.ts'

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
  if (errors?.[0]) throw badVariable(errors[0])
  const rootType = schema.getRootType(operation.operation)
  if (!coerced || !rootType) return []
  const fields = collectFields(schema, fragmentsOf(document), coerced, rootType, operation.selectionSet)
  return [...fields.values()].map(([field]) => field?.name.value ?? '')
}

function badVariable(error: GraphQLError): GatewayError {
  const node = error.nodes?.[0]
  const field = node?.kind === Kind.VARIABLE_DEFINITION ? node.variable.name.value : undefined
  return new GatewayError('BAD_USER_INPUT', error.message, field ? { field } : {})
}

function fragmentsOf(document: DocumentNode): Record<string, FragmentDefinitionNode> {
  const fragments = document.definitions.filter((definition) => definition.kind === Kind.FRAGMENT_DEFINITION)
  return Object.fromEntries(fragments.map((fragment) => [fragment.name.value, fragment]))
}
