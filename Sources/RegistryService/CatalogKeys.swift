import ForgeCatalog
import ForgeCore
import ForgeCrypto
import ForgeGate
import ForgeVault

/// Between the vault's keys and the catalog's rows. A store has one project, whose id stands in `meta`; keys name theirs, so the form takes more.
extension Database {
    func insert(_ key: WrappedKey, record: AuditIndex, now: Int64) throws(Fault) {
        try insert(
            WrappedKeyRow(
                id: key.id, purpose: key.purpose.rawValue, subject: key.subject, project: key.project, version: Int64(key.version), wrapped: key.bytes, created: now, record: record))
    }

    func project() throws(Fault) -> ID {
        guard let project = try meta("project").flatMap({ ID(parsing: $0) }) else { throw Database.corrupt("no project is named") }
        return project
    }

    func key(_ row: WrappedKeyRow) throws(Fault) -> WrappedKey {
        guard let purpose = WrappedKey.Purpose(rawValue: row.purpose), let version = UInt32(exactly: row.version) else {
            throw Database.corrupt("wrapped key \(row.id) does not read")
        }
        return WrappedKey(id: row.id, purpose: purpose, subject: row.subject, project: row.project, version: version, bytes: row.wrapped)
    }

    func key(_ purpose: WrappedKey.Purpose, subject: ID) throws(Fault) -> WrappedKey? {
        guard let row = try wrappedKey(purpose: purpose.rawValue, subject: subject) else { return nil }
        return try key(row)
    }

    func keys(_ purpose: WrappedKey.Purpose) throws(Fault) -> [WrappedKey] {
        var keys: [WrappedKey] = []
        for row in try wrappedKeys(purpose: purpose.rawValue) { keys.append(try key(row)) }
        return keys
    }

    func manifestKey() throws(Fault) -> P256.PublicKey? { try meta("manifest_key").flatMap { P256.PublicKey(pem: $0) } }

    static func corrupt(_ why: String) -> Fault {
        Fault(.environment, "store.corrupt", "the catalog is damaged", why: why, remedy: "run `forge-verify` on a copy and restore a backup")
    }
}
