import { databaseNameOf } from './address.ts'

/** There is no database of this gateway where one was expected. */
export class NoDatabase extends Error {
  constructor({ databaseUrl, dataDir }: { databaseUrl: string | null; dataDir: string }) {
    super(
      databaseUrl === null
        ? `There is no database in DATA_DIR ${dataDir}. Set DATA_DIR to the folder that the gateway names when it starts, or DATABASE_URL as the gateway has it. A start of the gateway, or "account create", makes a new database there`
        : `The database ${databaseNameOf(databaseUrl)} of DATABASE_URL has no tables of Switchboard. Set DATABASE_URL as the gateway has it. A start of the gateway, or "account create", makes them there`,
    )
    this.name = 'NoDatabase'
  }
}
