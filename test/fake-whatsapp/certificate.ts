import { proto } from '@whiskeysockets/baileys'
import { createKeyPair, type KeyPair, sign } from './curve.ts'

const { Details } = proto.CertChain.NoiseCertificate

export type ServerIdentity = {
  /** The public key that a client must trust, were it to check. */
  root: Buffer
  /** The key that the certificate is about. */
  key: KeyPair
  certificate: Buffer
  /** The same with an issuer that no client takes. */
  badCertificate: Buffer
}

/** A server's key with a certificate: root, intermediate, leaf. */
export function createServerIdentity(): ServerIdentity {
  const root = createKeyPair()
  const intermediate = createKeyPair()
  const key = createKeyPair()
  const now = Math.floor(Date.now() / 1000)
  const validity = { notBefore: now - 3_600, notAfter: now + 30 * 86_400 }

  const issue = (signer: KeyPair, details: object) => {
    const encoded = Details.encode({ ...details, ...validity }).finish()
    return { details: encoded, signature: sign(signer, encoded) }
  }
  const leaf = issue(intermediate, { serial: 2, issuerSerial: 1, key: key.public })
  const chain = (issuerSerial: number) =>
    Buffer.from(
      proto.CertChain.encode({
        leaf,
        intermediate: issue(root, { serial: 1, issuerSerial, key: intermediate.public }),
      }).finish(),
    )
  return { root: root.public, key, certificate: chain(0), badCertificate: chain(99) }
}
