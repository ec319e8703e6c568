import { badUserInput } from '../errors.ts'
import type { Viewer } from '../viewer/viewer.ts'
import { MAX_NAMES, type NameFilter, parseNamesArgument } from './filter.ts'

/**
 * Which instances a `names` argument asks for; an instance token always gets its own, whatever it says.
 * @throws GatewayError BAD_USER_INPUT for more names than are possible
 */
export function filterOfNames(
  viewer: Viewer,
  names: readonly (string | null | undefined)[] | null | undefined,
): NameFilter {
  if (viewer.kind === 'instance') return 'all'
  if (names && names.length > MAX_NAMES) {
    throw badUserInput(
      'names',
      `names has ${names.length} entries; at most ${MAX_NAMES} are possible. Ask in several requests`,
    )
  }
  return parseNamesArgument(names)
}
