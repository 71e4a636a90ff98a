// RegistryService: what forge-registry does.
//
// owns      the ledger (log and catalog in one file, one writer), the routes of registry.sock, the archive, what sealed means
// promises  a record is durable before its request is answered; a change and its record commit together; the log grows while the
//           store is sealed, without what only a key could hide; after a failed write nothing more is acknowledged
// never     evaluates a policy, trusts a header for who is calling, or writes plaintext of data or weights
// flow      Route → identify(Caller) → Gate.permit → Ledger.write { row + outcome record } → answer

import ForgeCore
