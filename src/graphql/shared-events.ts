import { hash } from 'node:crypto'
import { type DocumentNode, execute, type ExecutionResult } from 'graphql'
import { Loaders } from '../loaders.ts'
import type { Call } from './call.ts'
import { EventText } from './event-text.ts'
import type { PreparedOperation } from './operations.ts'
import { presentErrors } from './present-errors.ts'

/** The result of an event: at once where nothing has to be loaded for it. */
export type Text = EventText | Promise<EventText>

/**
 * One execution and one serialisation of an event for all who asked the same: the same document and variables, and the
 * same viewer, since what an operation may see depends on nothing else.
 */
export class SharedEvents {
  readonly #audiences = new WeakMap<DocumentNode, Map<string, Audience>>()

  /** The audience of an operation, which is one larger by it. */
  join(operation: PreparedOperation): Audience {
    const { document, operationName, variableValues, contextValue } = operation
    const ofDocument = this.#audiences.get(document) ?? new Map<string, Audience>()
    this.#audiences.set(document, ofDocument)
    const key = digestOf([contextValue.call.viewer, operationName, variableValues])
    const audience = ofDocument.get(key) ?? new Audience(operation, () => ofDocument.delete(key))
    ofDocument.set(key, audience)
    audience.join()
    return audience
  }
}

/** All who read the same. */
export class Audience {
  readonly #asked: Pick<PreparedOperation, 'schema' | 'document' | 'operationName' | 'variableValues'>
  readonly #whenEmpty: () => void
  /** By event, while anybody may still be told of it. */
  readonly #texts = new WeakMap<object, Text>()
  #size = 0

  constructor({ schema, document, operationName, variableValues }: PreparedOperation, whenEmpty: () => void) {
    this.#asked = { schema, document, operationName, variableValues }
    this.#whenEmpty = whenEmpty
  }

  join(): void {
    this.#size++
  }

  leave(): void {
    if (--this.#size === 0) this.#whenEmpty()
  }

  /** The text of an event, made on behalf of one of them, or found made for another one. */
  textOf(event: object, call: Call): Text {
    const known = this.#texts.get(event)
    if (known) return known
    const result = this.#execute(event, call)
    const text = result instanceof Promise ? result.then((made) => write(made, call)) : write(result, call)
    this.#texts.set(event, text)
    // Who comes later need not wait for what is there.
    if (text instanceof Promise)
      text.then(
        (made) => this.#texts.set(event, made),
        () => this.#texts.delete(event),
      )
    return text
  }

  #execute(event: object, call: Call): ExecutionResult | Promise<ExecutionResult> {
    const { viewer, services, budget } = call
    // Each event reads anew.
    const loaders = viewer && new Loaders(services, viewer)
    return execute({ ...this.#asked, rootValue: event, contextValue: { viewer, services, budget, call, loaders } })
  }
}

function write({ data, errors }: ExecutionResult, call: Call): EventText {
  const isDelayed = call.services.sessions.isDelayed()
  return new EventText(
    JSON.stringify({
      data,
      ...(errors && { errors: presentErrors({ errors }, call) }),
      ...(isDelayed && { extensions: { delayed: true } }),
    }),
  )
}

const digestOf = (key: unknown): string => hash('sha256', JSON.stringify(key), 'base64url')
