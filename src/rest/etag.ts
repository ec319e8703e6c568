import { createHash, hash } from 'node:crypto'

/** What stands for a text in a tag; kept beside the text, since to digest a long body costs more than to write it. */
export const digestOf = (text: string): string => hash('sha256', text, 'base64url')

/**
 * The entity tag of a body for one principal, from what tells the body from any other: equal bodies of two tenants have
 * different tags.
 */
export const etagOf = (principal: string, parts: readonly string[]): string => {
  const digest = createHash('sha256').update(principal)
  for (const part of parts) digest.update('\0').update(part)
  return `"${digest.digest('base64url').slice(0, 27)}"`
}

/** Whether an If-None-Match header names the tag; weak comparison, as for GET. */
export const matchesEtag = (ifNoneMatch: string | undefined, etag: string): boolean =>
  ifNoneMatch !== undefined &&
  ifNoneMatch.split(',').some((tag) => tag.trim() === '*' || tag.trim().replace(/^W\//, '') === etag)
