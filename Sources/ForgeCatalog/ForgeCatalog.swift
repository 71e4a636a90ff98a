// ForgeCatalog: one SQLite file that holds the catalog and the audit log.
//
// owns      the thin wrapper over the C library, the schema, the one writer with its group commit, the reserve for a full disk
// promises  what `Writer.write` returned is durable (WAL, synchronous=FULL, both read back); a state change and its record
//           commit together or not at all; leaves and versions are never updated or deleted; reads never see half a change
// never     hashes a leaf, signs a root or decides anything: it stores what ForgeAudit made and a service allowed
// flow      Database(writer) → Writer(queue → one transaction of up to 1024 requests → commit → replies) · Reader(read-only)

import ForgeCore

extension Fault {
    static func store(_ code: String, _ what: String, why: String, remedy: String = "", retryable: Bool = false, detail: String = "") -> Fault {
        Fault(.environment, "store.\(code)", what, why: why, remedy: remedy, retryable: retryable, detail: detail)
    }

    /// The file system under the registry has no room.
    package var isStoreFull: Bool { code == "store.full" }
    /// The device failed, or the file is damaged: nothing may be acknowledged any more.
    package var isStoreBroken: Bool { code == "store.io" || code == "store.corrupt" }
}
