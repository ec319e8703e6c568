// The order of these imports is the order of the printed schema.
import '../viewer/type.ts'
import '../account/type.ts'
import '../instance/type.ts'
import '../instance/connection.ts'
import '../node/type.ts'
import '../connection/type.ts'
import '../profile/type.ts'
import '../integration/webhook.ts'
import '../integration/websocket.ts'
import '../integration/chatwoot.ts'
import '../integration/proxy.ts'
import '../integration/settings.ts'
import '../integration/s3.ts'
import '../instance/mutations.ts'
import '../connection/mutations.ts'
import '../connection/subscription.ts'
import '../pairing/type.ts'
import './error-code.ts'
import { builder } from './builder.ts'

/** The executable schema, printed to schema/schema.graphql. Its types register themselves by being imported. */
export const schema = builder.toSchema({ sortSchema: false })

schema.description = `Switchboard: a GraphQL gateway over WhatsApp instances.
Conventions: enums may grow, so treat an unknown value as the type's UNKNOWN or as "not connected".
A field marked "null only beside an error" isolates a failed batch: the rest of the answer stands.`
