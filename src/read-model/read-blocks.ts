import type { Kysely } from 'kysely'
import type { DB } from '../db/types.ts'
import type { AccountRows } from './account-rows.ts'
import { BLOCK_BATCHES, type BlockName, type Blocks } from './blocks.ts'

type Batch<Name extends BlockName> = (db: Kysely<DB>, ids: readonly string[]) => Promise<Blocks[Name][]>

/** One block of the instances, from memory where there is any. */
export async function readBlocks<Name extends BlockName>(
  db: Kysely<DB>,
  account: AccountRows | null,
  name: Name,
  ids: readonly string[],
): Promise<Blocks[Name][]> {
  const readAll = BLOCK_BATCHES[name] as Batch<Name>
  if (!account) return readAll(db, ids)
  const records = await account.byId(ids)
  await account.load(
    records.filter((record) => record !== null),
    [name],
  )
  // An instance may have gone since its row was read.
  const gone = ids.filter((_id, index) => !records[index]?.has(name))
  const ofGone = new Map((gone.length > 0 ? await readAll(db, gone) : []).map((block, index) => [gone[index], block]))
  return ids.map((id, index) => records[index]?.blocks[name] ?? (ofGone.get(id) as Blocks[Name]))
}
