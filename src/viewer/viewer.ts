/** Who a token is: an account, or one instance. */
export type Viewer =
  | { readonly kind: 'account'; readonly accountId: string }
  /** `within`: the account that the instance belongs to, of which the viewer sees and learns nothing else. */
  | { readonly kind: 'instance'; readonly instanceId: string; readonly within: string }

/** The account in whose rows the viewer's are found. */
export const tenantOf = (viewer: Viewer): string => (viewer.kind === 'account' ? viewer.accountId : viewer.within)

/** The name of the viewer's rate-limit bucket; it outlives a rotation of the token. */
export const principalOf = (viewer: Viewer): string =>
  viewer.kind === 'account' ? `account:${viewer.accountId}` : `instance:${viewer.instanceId}`
