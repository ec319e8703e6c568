/**
 * A message of graphql's without the values that it repeats: what was sent in the wrong place may be a secret. What is
 * said about the place, the type and the names of fields stays.
 */
export const withoutValues = (message: string): string =>
  message
    .replace(/(cannot represent [^:]*): [\s\S]*$/, '$1')
    .replace(/, found [\s\S]*$/, '')
    .replace(/(has invalid value) [\s\S]*$/, '$1')
    .replace(/Value "[\s\S]*" does not exist in/, 'This value does not exist in')
    .replace(/(Unexpected|found) (Block)?String "[\s\S]*$/, '$1 a string.')
