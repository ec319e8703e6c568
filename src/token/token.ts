import { hash, randomBytes } from 'node:crypto'

export type TokenKind = 'account' | 'instance'

/** Prefixes of generated tokens, so that secret scanners can find a leaked one. */
const PREFIX: Record<TokenKind, string> = { account: 'sba_', instance: 'sbi_' }

export const MAX_TOKEN_LENGTH = 256
/** Least length of a chosen token; an operator may import shorter ones that are in use already. */
export const MIN_CHOSEN_LENGTH = 32
export const MIN_IMPORTED_LENGTH = 8

const tokenRule = (minLength: number) =>
  `${minLength} to ${MAX_TOKEN_LENGTH} printable ASCII characters without spaces or commas, not beginning with ${PREFIX.account} or ${PREFIX.instance}`
export const CHOSEN_TOKEN_RULE = tokenRule(MIN_CHOSEN_LENGTH)
export const IMPORTED_TOKEN_RULE = tokenRule(MIN_IMPORTED_LENGTH)

/** A new token: its prefix and 192 random bits. */
export const generateToken = (kind: TokenKind): string => PREFIX[kind] + randomBytes(24).toString('base64url')

/** What is stored and looked up in place of a token: its SHA-256. */
export const digestToken = (token: string): Buffer => Buffer.from(digestKeyOf(token), 'base64url')

/** The digest as a key of maps, in base64url. */
export const digestKeyOf = (token: string): string => hash('sha256', token, 'base64url')

/**
 * Whether a text can be a token at all; what cannot is refused without a lookup. A comma is what a proxy joins repeated
 * headers with.
 */
export const isTokenText = (text: string): boolean =>
  text.length <= MAX_TOKEN_LENGTH && /^[\x21-\x7e]+$/.test(text) && !text.includes(',')

export const isChosenToken = (text: string, minLength = MIN_CHOSEN_LENGTH): boolean =>
  isTokenText(text) && text.length >= minLength && !Object.values(PREFIX).some((prefix) => text.startsWith(prefix))
