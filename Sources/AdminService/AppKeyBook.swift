import AdminAPI
package import ForgeCore
import ForgeCrypto

/// Applications' keys: a fold over a journal of `create` and `revoke`.
///
/// A credential is `forge_app_`, an id of 22, a secret of 32 and a checksum of 6 base-62 digits. What is kept is its SHA-256: the
/// secret has 190 random bits, so there is nothing to guess and nothing a keyed digest would protect.
package struct AppKeyBook: Sendable {
    package struct Key: Sendable, Hashable {
        package let id: String
        package let app: String
        package let owner: String
        package let digest: Digest
        package let created: Int64
        package let expires: Int64
        package var revoked: Int64?

        func isGood(at now: Int64) -> Bool { revoked == nil && expires > now }

        var view: AppKeyView { AppKeyView(id: id, app: app, owner: owner, created: created, expires: expires, revoked: revoked != nil) }
    }

    package static let daysMax = 365
    package static let daysDefault = 90

    package private(set) var keys: [String: Key] = [:]

    package init() {}

    package var sorted: [Key] { keys.values.sorted { ($0.app, $0.created, $0.id) < ($1.app, $1.created, $1.id) } }

    /// Every application that ever had a key, with the owner of its latest.
    var apps: [String: String] {
        sorted.reduce(into: [:]) { $0[$1.app] = $1.owner }
    }

    static func make(app: String, owner: String, days: Int, now: Int64) -> (key: Key, credential: String) {
        let id = String(Base62.encode(Random.bytes(16)).suffix(22))
        // 24 bytes are at most 33 digits; the first carries no full digit of randomness and is left out.
        let body = "forge_app_" + id + String(Base62.encode(Random.bytes(24)).suffix(32))
        let credential = body + Base62.encode(CRC32.checksum(body.utf8), width: 6)
        let key = Key(
            id: id, app: app, owner: owner, digest: Digest.sha256(credential), created: now, expires: now + Int64(days) * 86_400_000_000, revoked: nil)
        return (key, credential)
    }

    /// Whether it could be a key of ours: shape and checksum.
    package static func isWellFormed(_ credential: String) -> Bool {
        let body = credential.utf8.dropLast(6)
        guard credential.utf8.count == 70, credential.hasPrefix("forge_app_"), Base62.isDigits(credential.dropFirst(10)) else { return false }
        return Base62.encode(CRC32.checksum(body), width: 6).utf8.elementsEqual(credential.utf8.suffix(6))
    }

    // MARK: events

    static func created(_ key: Key) -> JSON {
        [
            "v": 1, "t": .int(key.created), "event": "create", "id": .string(key.id), "app": .string(key.app), "owner": .string(key.owner),
            "digest": .string(key.digest.description), "expires": .int(key.expires),
        ]
    }

    static func revoked(_ id: String, at now: Int64) -> JSON { ["v": 1, "t": .int(now), "event": "revoke", "id": .string(id)] }

    mutating func apply(_ event: JSON) throws(Fault) {
        guard event["v"]?.int == 1, let time = event["t"]?.int, let id = event["id"]?.string else { throw AppKeyBook.unreadable() }
        switch event["event"]?.string {
        case "create":
            guard let app = event["app"]?.string, let owner = event["owner"]?.string, let expires = event["expires"]?.int,
                let digest = event["digest"]?.string.flatMap({ Digest(parsing: $0) }), keys[id] == nil
            else { throw AppKeyBook.unreadable() }
            keys[id] = Key(id: id, app: app, owner: owner, digest: digest, created: time, expires: expires, revoked: nil)
        case "revoke":
            guard keys[id] != nil else { throw AppKeyBook.unreadable() }
            keys[id]!.revoked = keys[id]!.revoked ?? time
        default: throw AppKeyBook.unreadable()
        }
    }

    private static func unreadable() -> Fault { Fault(.environment, "admin.journal", "an event of an application's key does not read") }
}
