/** GraphQL enum values for wire words: `message.exchange` becomes `MESSAGE_EXCHANGE`, described as given. */
export const enumValues = <Word extends string>(described: Record<Word, string>, nameOf = upperSnake) =>
  Object.fromEntries(
    Object.entries<string>(described).map(([value, description]) => [
      nameOf(value),
      { value: value as Word, description },
    ]),
  ) as Record<string, { value: Word; description: string }>

const upperSnake = (word: string) => word.toUpperCase().replaceAll('.', '_')
