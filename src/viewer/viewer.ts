/** Who a token is: an account, or one instance. */
export type Viewer =
  | { readonly kind: 'account'; readonly accountId: string }
  | { readonly kind: 'instance'; readonly instanceId: string }

/** The name of the viewer's rate-limit bucket; it outlives a rotation of the token. */
export const principalOf = (viewer: Viewer): string =>
  viewer.kind === 'account' ? `account:${viewer.accountId}` : `instance:${viewer.instanceId}`
