import { randomBytes } from 'node:crypto'
import { chatModificationToAppPatch, encodeSyncdPatch, newLTHashState, proto } from '@whiskeysockets/baileys'

type Collection = { state: ReturnType<typeof newLTHashState>; patches: proto.ISyncdPatch[] }

/** The account's settings (app state): collections of encrypted patches that all devices read and write. */
export type Settings = {
  /** The message with which the phone gives a device the key to them. */
  keyShare(): proto.IMessage
  /** Writes the owner's name; returns the collection's new version. */
  setName(name: string): Promise<number>
  /** Takes a patch from a device. */
  accept(collection: string, patch: Buffer): void
  version(collection: string): number
  patchesSince(collection: string, version: number): Buffer[]
}

const { Type } = proto.Message.ProtocolMessage

export function createSettings(): Settings {
  // A key's id is its rank and the device that made it.
  const keyId = Buffer.concat([Buffer.from([0, 0]), randomBytes(4)])
  const keyData = randomBytes(32)
  const collections = new Map<string, Collection>()

  const collection = (name: string): Collection => {
    let found = collections.get(name)
    if (!found) collections.set(name, (found = { state: newLTHashState(), patches: [] }))
    return found
  }

  return {
    keyShare: () => ({
      protocolMessage: {
        type: Type.APP_STATE_SYNC_KEY_SHARE,
        appStateSyncKeyShare: {
          keys: [
            {
              keyId: { keyId },
              keyData: {
                keyData,
                fingerprint: { rawId: 1, currentIndex: 0, deviceIndexes: [0] },
                timestamp: Date.now(),
              },
            },
          ],
        },
      },
    }),

    setName: async (name) => {
      const change = chatModificationToAppPatch({ pushNameSetting: name }, '')
      const found = collection(change.type)
      const { patch, state } = await encodeSyncdPatch(change, keyId.toString('base64'), found.state, async () => ({
        keyData,
      }))
      found.state = state
      found.patches.push({ ...patch, version: { version: state.version } })
      return state.version
    },

    accept: (name, bytes) => {
      const found = collection(name)
      const version = found.state.version + 1
      found.state = { ...found.state, version }
      found.patches.push({ ...proto.SyncdPatch.decode(bytes), version: { version } })
    },

    version: (name) => collection(name).state.version,

    patchesSince: (name, version) =>
      collection(name)
        .patches.slice(version)
        .map((patch) => Buffer.from(proto.SyncdPatch.encode(patch).finish())),
  }
}
