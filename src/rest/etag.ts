import { hash } from 'node:crypto'

/** What stands for a text in a tag; kept beside the text, since to digest a long body costs more than to write it. */
export const digestOf = (text: string): string => hash('sha256', text, 'base64url')

/**
 * The entity tag of a body for one principal, from what tells the body from any other: equal bodies of two tenants have
 * different tags.
 */
export const etagOf = (principal: string, parts: readonly string[]): string =>
  `"${digestOf([principal, ...parts].join('\0')).slice(0, 27)}"`

/** Whether an If-None-Match header names the tag; weak comparison, as for GET. */
export const matchesEtag = (ifNoneMatch: string | undefined, etag: string): boolean =>
  ifNoneMatch !== undefined &&
  ifNoneMatch.split(',').some((tag) => tag.trim() === '*' || tag.trim().replace(/^W\//, '') === etag)
