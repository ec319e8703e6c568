import { createPrivateKey, createPublicKey, diffieHellman, generateKeyPairSync, verify } from 'node:crypto'
import { Curve } from '@whiskeysockets/baileys'

export type KeyPair = { public: Buffer; private: Buffer }

/** Signal writes this byte before a public key that it signs or stores. */
export const KEY_TYPE = Buffer.from([5])

const KEY_LENGTH = 32

export function createKeyPair(): KeyPair {
  // Encoded while it is made: `export` holds a lock that Node's collector of garbage may want just then, for ever.
  const { publicKey, privateKey } = generateKeyPairSync('x25519', {
    publicKeyEncoding: { type: 'spki', format: 'der' },
    privateKeyEncoding: { type: 'pkcs8', format: 'der' },
  })
  // In both forms the key itself comes last.
  return { public: publicKey.subarray(-KEY_LENGTH), private: privateKey.subarray(-KEY_LENGTH) }
}

const okp = (curve: 'X25519' | 'Ed25519', publicKey: Buffer, privateKey?: Buffer) => ({
  format: 'jwk' as const,
  key: {
    kty: 'OKP',
    crv: curve,
    x: publicKey.toString('base64url'),
    ...(privateKey && { d: privateKey.toString('base64url') }),
  },
})

/** The secret that a pair of ours shares with a public key of theirs. */
export const agree = (ours: KeyPair, theirs: Buffer): Buffer =>
  diffieHellman({
    privateKey: createPrivateKey(okp('X25519', ours.public, ours.private)),
    publicKey: createPublicKey(okp('X25519', theirs)),
  })

export const sign = (signer: KeyPair, ...message: Uint8Array[]): Buffer =>
  Buffer.from(Curve.sign(signer.private, Buffer.concat(message)))

const PRIME = 2n ** 255n - 19n

/** Fermat: the power of two less than the prime is the inverse. */
function invert(value: bigint): bigint {
  let result = 1n
  let base = value % PRIME
  for (let exponent = PRIME - 2n; exponent > 0n; exponent >>= 1n) {
    if (exponent & 1n) result = (result * base) % PRIME
    base = (base * base) % PRIME
  }
  return result
}

const littleEndian = (bytes: Buffer): bigint => BigInt(`0x${Buffer.from(bytes.toReversed()).toString('hex')}`)

const toLittleEndian = (value: bigint): Buffer =>
  Buffer.from(Buffer.from(value.toString(16).padStart(64, '0'), 'hex').toReversed())

/**
 * Whether a signature of Signal's kind (XEdDSA) is by the owner of an X25519 key.
 * Baileys' own `Curve.verify` says yes to everything, so it proves nothing here.
 */
export function isSignedBy(
  signer: Buffer,
  signature: Uint8Array | null | undefined,
  ...message: Uint8Array[]
): boolean {
  if (signature?.length !== 64) return false
  // The same point on the Edwards curve has y = (u - 1) / (u + 1); the signature's spare bit tells the sign of x.
  const key = Buffer.from(signer.subarray(-32))
  key.writeUInt8(key.readUInt8(31) & 0x7f, 31)
  const u = littleEndian(key)
  const point = toLittleEndian(((u - 1n + PRIME) * invert(u + 1n)) % PRIME)
  const plain = Buffer.from(signature)
  point.writeUInt8(point.readUInt8(31) | (plain.readUInt8(63) & 0x80), 31)
  plain.writeUInt8(plain.readUInt8(63) & 0x7f, 63)
  try {
    return verify(null, Buffer.concat(message), createPublicKey(okp('Ed25519', point)), plain)
  } catch {
    return false
  }
}
