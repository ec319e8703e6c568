import type { Kysely } from 'kysely'
import type { DB } from '../db/types.ts'
import { type Profile, profilesOf, UNKNOWN_PROFILE } from '../profile/queries.ts'
import { writeProfile } from './facts.ts'
import type { Owned } from './fence.ts'

/** The profile of one instance as it was last written, so that only what has changed is written again. */
export class ProfileKeeper {
  readonly #db: Kysely<DB>
  readonly #owned: Owned
  #known: Profile = UNKNOWN_PROFILE

  constructor(db: Kysely<DB>, owned: Owned) {
    this.#db = db
    this.#owned = owned
  }

  /** False when there is no such instance any more. */
  async read(): Promise<boolean> {
    const [profile] = await profilesOf(this.#db, [this.#owned.instanceId])
    if (!profile) return false
    const { instanceId: _, ...known } = profile
    this.#known = known
    return true
  }

  /** Writes what was seen where it differs. A business keeps the name that it was paired with as its own. */
  async note(seen: Partial<Profile>): Promise<void> {
    const isBusiness = seen.isBusiness ?? this.#known.isBusiness
    const businessName = isBusiness ? (this.#known.businessName ?? seen.name ?? null) : null
    const next: Profile = { ...this.#known, ...seen, isBusiness, businessName }
    const isSame = (Object.keys(next) as (keyof Profile)[]).every((key) => next[key] === this.#known[key])
    if (isSame) return
    if (await writeProfile(this.#db, this.#owned, next)) this.#known = next
  }
}
