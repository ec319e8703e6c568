import { createHash } from 'node:crypto'

/** The entity tag of a body for one principal: equal bodies of two tenants have different tags. */
export const etagOf = (principal: string, body: Buffer): string =>
  `"${createHash('sha256').update(principal).update('\0').update(body).digest('base64url').slice(0, 27)}"`

/** Whether an If-None-Match header names the tag; weak comparison, as for GET. */
export const matchesEtag = (ifNoneMatch: string | undefined, etag: string): boolean =>
  ifNoneMatch !== undefined &&
  ifNoneMatch.split(',').some((tag) => tag.trim() === '*' || tag.trim().replace(/^W\//, '') === etag)
