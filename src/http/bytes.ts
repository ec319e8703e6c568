const NOT_ASCII = /[^\0-\x7f]/

/**
 * UTF-8 as a text of one character a byte. Such texts are kept, joined and sent as they are: that costs a fraction of
 * encoding the whole of an answer anew, and does not depend on what is written in it.
 */
export type Bytes = string & { readonly [isBytes]: never }
declare const isBytes: unique symbol

export const bytesOf = (text: string): Bytes =>
  (NOT_ASCII.test(text) ? Buffer.from(text).toString('latin1') : text) as Bytes

export const textOf = (bytes: Bytes): string =>
  NOT_ASCII.test(bytes) ? Buffer.from(bytes, 'latin1').toString() : bytes

/**
 * An ASCII text anew, in one piece and with one byte a character. A part of a text with other characters has two, and so
 * would have all that repeats it; a text put together from others, such as a UUID, keeps all of them.
 */
export const compact = (ascii: string): Bytes => Buffer.from(ascii, 'latin1').toString('latin1') as Bytes

/** A JSON list of items that are JSON. */
export const jsonList = (items: readonly Bytes[]): Bytes => `[${items.join(',')}]` as Bytes
