import { createHash } from 'node:crypto'
import { type DocumentNode, execute, type ExecutionResult } from 'graphql'
import { createLoaders } from '../loaders.ts'
import type { Context } from './context.ts'
import { EventText } from './event-text.ts'
import type { PreparedOperation } from './operations.ts'
import { presentErrors } from './present-errors.ts'

type Text = EventText | Promise<EventText>

/** Makes the text of an event, or finds it made for somebody else. */
export type Render = (event: object) => Text

/** Texts by event, while anybody reads the same. */
type Readers = { texts: WeakMap<object, Text>; count: number }

/**
 * One execution and one serialisation of an event for all who asked the same: the same document and variables, and the
 * same viewer, since what an operation may see depends on nothing else.
 */
export class SharedEvents {
  readonly #readers = new WeakMap<DocumentNode, Map<string, Readers>>()

  /** How an operation's events become texts; `leave` is called when it reads no more. */
  join(operation: PreparedOperation): { render: Render; leave: () => void } {
    const { document, operationName, variableValues, schema, contextValue } = operation
    const { call } = contextValue
    const { services, viewer } = call
    const ofDocument = this.#readers.get(document) ?? new Map<string, Readers>()
    this.#readers.set(document, ofDocument)
    const key = digestOf([viewer, operationName, variableValues])
    const readers = ofDocument.get(key) ?? { texts: new WeakMap<object, Text>(), count: 0 }
    ofDocument.set(key, readers)
    readers.count++

    const write = ({ data, errors }: ExecutionResult) =>
      new EventText(
        JSON.stringify({
          data,
          ...(errors && { errors: presentErrors({ errors }, call) }),
          ...(services.sessions.isDelayed() && { extensions: { delayed: true } }),
        }),
      )
    const { budget } = contextValue as unknown as Context
    const execution = { schema, document, operationName, variableValues }
    const run = (event: object): Text => {
      // Each event reads anew.
      const context = { viewer, services, budget, call, loaders: viewer && createLoaders(services, viewer) }
      const result = execute({ ...execution, rootValue: event, contextValue: context })
      return result instanceof Promise ? result.then(write) : write(result)
    }
    const { texts } = readers
    return {
      render: (event) => {
        const known = texts.get(event)
        if (known) return known
        const text = run(event)
        texts.set(event, text)
        // Who comes later need not wait for what is there.
        if (text instanceof Promise)
          text.then(
            (made) => texts.set(event, made),
            () => texts.delete(event),
          )
        return text
      },
      leave: () => {
        if (--readers.count === 0) ofDocument.delete(key)
      },
    }
  }
}

const digestOf = (key: unknown): string => createHash('sha256').update(JSON.stringify(key)).digest('base64')
