import { createHmac, randomBytes } from 'node:crypto'
import { proto } from '@whiskeysockets/baileys'
import { derive, deriveFromCode, mask, unseal } from './cipher.ts'
import type { Connection } from './connection.ts'
import { agree, createKeyPair, isSignedBy, sign } from './curve.ts'
import { bytesAt, descend, element, SERVER, seconds } from './nodes.ts'
import type { Device, Phone } from './phone.ts'

/** What is signed begins with two bytes that tell its kind. */
const ACCOUNT_SIGNATURE = Buffer.from([6, 0])
const DEVICE_SIGNATURE = Buffer.from([6, 1])

/** A pairing by code, between the client's request and its last message. */
export type LinkCode = {
  number: string
  reference: Buffer
  /** The client's ephemeral key, under the code: salt, iv, text. */
  wrappedKey: Buffer
  /** Called with the client's last message. */
  finish(bundle: Buffer, identity: Buffer): void
}

/** What a QR code says: rc10 and later put it behind a URL's #. */
export function readQr(qr: string): { reference: string; noiseKey: Buffer; identity: Buffer; secret: Buffer } {
  const [reference = '', noiseKey = '', identity = '', secret = ''] = qr.slice(qr.indexOf('#') + 1).split(',')
  return {
    reference,
    noiseKey: Buffer.from(noiseKey, 'base64'),
    identity: Buffer.from(identity, 'base64'),
    secret: Buffer.from(secret, 'base64'),
  }
}

/**
 * The phone vouches for the client's identity, the client signs in return, and is told to start again (515).
 * The client's signature is really checked.
 */
export async function pair(connection: Connection, phone: Phone, identity: Buffer, secret: Buffer): Promise<Device> {
  const device = phone.addDevice(connection.clientKey)
  const details = Buffer.from(
    proto.ADVDeviceIdentity.encode({
      rawId: randomBytes(4).readUInt32BE(),
      timestamp: Math.floor(Date.now() / 1000),
      keyIndex: device.id,
      accountType: proto.ADVEncryptionType.E2EE,
      deviceType: proto.ADVEncryptionType.E2EE,
    }).finish(),
  )
  const signed = Buffer.from(
    proto.ADVSignedDeviceIdentity.encode({
      details,
      accountSignatureKey: phone.identity.public,
      accountSignature: sign(phone.identity, ACCOUNT_SIGNATURE, details, identity),
    }).finish(),
  )
  const vouched = proto.ADVSignedDeviceIdentityHMAC.encode({
    details: signed,
    hmac: createHmac('sha256', secret).update(signed).digest(),
    accountType: proto.ADVEncryptionType.E2EE,
  }).finish()

  try {
    const answer = await connection.ask(
      element('iq', { from: SERVER, type: 'set', xmlns: 'md', t: seconds() }, [
        element('pair-success', {}, [
          element('device-identity', {}, Buffer.from(vouched)),
          ...(phone.businessName ? [element('biz', { name: phone.businessName })] : []),
          element('device', { jid: device.jid, lid: device.lid }),
          element('platform', { name: phone.platform }),
        ]),
      ]),
    )
    const reply = descend(answer, 'pair-device-sign', 'device-identity')
    const { deviceSignature } = proto.ADVSignedDeviceIdentity.decode(bytesAt(reply))
    const isGenuine = isSignedBy(identity, deviceSignature, DEVICE_SIGNATURE, details, identity, phone.identity.public)
    if (!isGenuine || reply?.attrs['key-index'] !== String(device.id))
      throw new Error('The device signed with another key than its QR code or pairing code showed')
  } catch (error) {
    phone.forgetDevice(device)
    connection.remove()
    throw error
  }
  device.identity = identity
  device.registration = connection.registration
  device.isPaired = true
  connection.streamError(515)
  return device
}

/** The phone was given a code: it proves that it knows it, and finds out whether the client knows it too. */
export async function pairByCode(connection: Connection, phone: Phone, link: LinkCode, code: string): Promise<Device> {
  const unwrap = async (wrapped: Buffer) =>
    mask(await deriveFromCode(code, wrapped.subarray(0, 32)), wrapped.subarray(32, 48), wrapped.subarray(48))
  const theirKey = await unwrap(link.wrappedKey)
  const ourKey = createKeyPair()
  const salt = randomBytes(32)
  const iv = randomBytes(16)
  const wrappedKey = Buffer.concat([salt, iv, mask(await deriveFromCode(code, salt), iv, ourKey.public)])

  const answer = new Promise<{ bundle: Buffer; identity: Buffer }>((resolve) => {
    link.finish = (bundle, identity) => resolve({ bundle, identity })
  })
  connection.send(
    element('notification', { from: SERVER, type: 'link_code_companion_reg', id: connection.nextId(), t: seconds() }, [
      element('link_code_companion_reg', { stage: 'primary_hello' }, [
        element('link_code_pairing_wrapped_primary_ephemeral_pub', {}, wrappedKey),
        element('primary_identity_pub', {}, phone.identity.public),
        element('link_code_pairing_ref', {}, link.reference),
      ]),
    ]),
  )
  const { bundle, identity } = await connection.before(answer)

  const shared = agree(ourKey, theirKey)
  const bundleKey = derive(shared, 32, bundle.subarray(0, 32), 'link_code_pairing_key_bundle_encryption_key')
  let text: Buffer
  try {
    text = unseal(bundleKey, bundle.subarray(32, 44), bundle.subarray(44))
  } catch {
    connection.remove()
    throw new Error('Wrong pairing code')
  }
  if (!text.subarray(0, 64).equals(Buffer.concat([identity, phone.identity.public]))) {
    connection.remove()
    throw new Error('The bundle of keys speaks of another identity')
  }
  const material = Buffer.concat([shared, agree(phone.identity, identity), text.subarray(64, 96)])
  return pair(connection, phone, identity, derive(material, 32, Buffer.alloc(0), 'adv_secret'))
}
