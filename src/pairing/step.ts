import type { ConnectionReason } from '../connection/state.ts'

/** One step of a pairing attempt, by instance id; the last two end it. */
export type PairingStep =
  /** A QR to scan, which replaces the one before. `ordinal` is 1 for the first of the attempt. */
  | { kind: 'qr'; value: string; ordinal: number; expiresAt: Date }
  /** 8 characters to type on the phone. */
  | { kind: 'code'; code: string; expiresAt: Date }
  | { kind: 'succeeded'; numberJid: string }
  | { kind: 'failed'; reason: ConnectionReason }
