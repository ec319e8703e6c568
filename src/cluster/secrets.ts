import { hkdfSync } from 'node:crypto'
import { Sealer } from '../sealing/sealer.ts'

type Keys = { current: Buffer; previous: Buffer | null }

/** What the nodes of a deployment know of each other's, made of the key that they share: the key itself seals rows only. */
export type ClusterSecrets = {
  /** Seals what goes through Redis. */
  busSealer: Sealer
  /** What a node shows to another one; while the key is being replaced nodes know the one before, too. */
  bearers: readonly string[]
  /** What the nodes of a deployment know each other's key by, without knowing it; the present one first. */
  keyChecks: readonly string[]
}

export const clusterSecretsOf = ({ current, previous }: Keys): ClusterSecrets => ({
  busSealer: new Sealer(derive(current, 'bus'), previous && derive(previous, 'bus')),
  bearers: [current, ...(previous ? [previous] : [])].map((key) => derive(key, 'peer').toString('base64url')),
  keyChecks: [current, ...(previous ? [previous] : [])].map((key) => derive(key, 'check').toString('base64url')),
})

const derive = (key: Buffer, purpose: string): Buffer =>
  Buffer.from(hkdfSync('sha256', key, '', `switchboard ${purpose} 1`, 32))
