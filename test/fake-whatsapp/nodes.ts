import { type BinaryNode, getAllBinaryNodeChildren, getBinaryNodeChild, jidEncode } from '@whiskeysockets/baileys'

/** Where what is said by the server itself comes from. */
export const SERVER = 's.whatsapp.net'

/** An attribute that is undefined is left out: a node with any but strings is encoded wrongly without a word. */
export function element(
  tag: string,
  attributes: Record<string, string | undefined> = {},
  content?: BinaryNode[] | Uint8Array,
): BinaryNode {
  const attrs: BinaryNode['attrs'] = {}
  for (const [name, value] of Object.entries(attributes)) if (value !== undefined) attrs[name] = value
  return content === undefined ? { tag, attrs } : { tag, attrs, content }
}

/** An element with a text, which clients read as bytes. */
export const textElement = (tag: string, text: string): BinaryNode => element(tag, {}, Buffer.from(text))

export const firstChild = (node: BinaryNode): BinaryNode | undefined => getAllBinaryNodeChildren(node)[0]

/** Follows a path of tags down. */
export function descend(node: BinaryNode | undefined, ...path: string[]): BinaryNode | undefined {
  let at = node
  for (const tag of path) at = getBinaryNodeChild(at, tag)
  return at
}

export function bytesOf(node: BinaryNode | undefined): Buffer | undefined {
  const content = node?.content
  if (content === undefined || Array.isArray(content)) return undefined
  return typeof content === 'string' ? Buffer.from(content) : Buffer.from(content)
}

/** The bytes of a child that has to be there. */
export function bytesAt(node: BinaryNode | undefined, ...path: string[]): Buffer {
  const bytes = bytesOf(descend(node, ...path))
  if (!bytes) throw new Error(`A ${node?.tag ?? 'missing'} node has no bytes at ${path.join('/')}`)
  return bytes
}

export const seconds = (): string => String(Math.floor(Date.now() / 1000))

export const bigEndian = (value: number, length: number): Buffer => {
  const bytes = Buffer.alloc(length)
  bytes.writeUIntBE(value, 0, length)
  return bytes
}

export const jidOf = (number: string, device?: number): string => jidEncode(number, SERVER, device)

export const lidOf = (lid: string, device?: number): string => jidEncode(lid, 'lid', device)
