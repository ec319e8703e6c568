/** A pure function that gives the same object again while its arguments are the same as the last time. */
export function rememberLast<Args extends readonly unknown[], Answer>(
  answer: (...args: Args) => Answer,
): (...args: Args) => Answer {
  let last: { args: Args; answer: Answer } | undefined
  return (...args) => {
    if (!last?.args.every((arg, index) => arg === args[index])) last = { args, answer: answer(...args) }
    return last.answer
  }
}
