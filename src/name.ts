const FORBIDDEN = /[,/\\?#%]/
/** Control, format, private and unassigned characters and lone surrogates. */
const INVISIBLE = /\p{C}/u
/** Any separator but a single space inside the name. */
const SEPARATOR = /[^\P{Z} ]| {2}/u

/** White space at the ends, but not the byte order mark, which is invisible and no space. */
const SPACE_AROUND = /^[^\S\uFEFF]+|[^\S\uFEFF]+$/g

export const MAX_NAME_LENGTH = 100

export const NAME_RULE =
  '1 to 100 characters; not , / \\ ? # %, not . or .., no control or invisible characters, single spaces only inside'

/** The name of an account or instance as it is stored (trimmed, NFC), or null when it breaks the rule. */
export function parseName(text: string): string | null {
  // Normalising is slow on huge texts, and a name can only shrink to a third by it.
  if (text.length > 10 * MAX_NAME_LENGTH) return null
  const name = text.replaceAll(SPACE_AROUND, '').normalize('NFC')
  const length = [...name].length
  if (length < 1 || length > MAX_NAME_LENGTH || name === '.' || name === '..') return null
  return FORBIDDEN.test(name) || INVISIBLE.test(name) || SEPARATOR.test(name) ? null : name
}
