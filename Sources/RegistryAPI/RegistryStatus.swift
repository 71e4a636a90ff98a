import ForgeCore

/// How the registry is. Readable by anyone who may connect: it names nothing but sizes.
package struct RegistryStatus: Codable, Sendable, Hashable {
    package enum Health: String, Codable, Sendable, Hashable {
        case well
        /// Before `forge init`.
        case uninitialised
        /// No space left; officers' actions alone are recorded.
        case full
        /// The log does not verify; nothing is written until a person has looked.
        case damaged
        /// A write failed; the daemon is about to stop.
        case broken
    }

    /// The file system of the store.
    package struct Disk: Codable, Sendable, Hashable {
        /// `well`, `warning`, `alert` (nothing new is taken) or `critical` (officers' actions alone are recorded).
        package var level: String
        package var usedPercent: Int
        package var freeBytes: Int64

        package init(level: String, usedPercent: Int, freeBytes: Int64) {
            self.level = level
            self.usedPercent = usedPercent
            self.freeBytes = freeBytes
        }

        package enum CodingKeys: String, CodingKey {
            case level
            case usedPercent = "used_percent"
            case freeBytes = "free_bytes"
        }
    }

    package var health: Health
    /// What is wrong, when something is.
    package var reason: String
    package var isSealed: Bool
    package var origin: String?
    /// The log's verifier key.
    package var logKey: String?
    /// Records in the log.
    package var records: UInt64
    /// Records the latest signed checkpoint covers.
    package var signed: UInt64
    /// Records the latest cosigned checkpoint covers.
    package var witnessed: UInt64
    /// Age of the oldest record no witness has covered, in seconds.
    package var unwitnessedSeconds: Int64
    package var version: String
    package var sqlite: String
    /// nil when the file system does not tell.
    package var disk: Disk?

    package init(
        health: Health, reason: String, isSealed: Bool, origin: String?, logKey: String?, records: UInt64, signed: UInt64, witnessed: UInt64, unwitnessedSeconds: Int64,
        version: String, sqlite: String, disk: Disk? = nil
    ) {
        self.health = health
        self.reason = reason
        self.isSealed = isSealed
        self.origin = origin
        self.logKey = logKey
        self.records = records
        self.signed = signed
        self.witnessed = witnessed
        self.unwitnessedSeconds = unwitnessedSeconds
        self.version = version
        self.sqlite = sqlite
        self.disk = disk
    }

    package enum CodingKeys: String, CodingKey {
        case health, reason, origin, records, signed, witnessed, version, sqlite, disk
        case isSealed = "sealed"
        case logKey = "log_key"
        case unwitnessedSeconds = "unwitnessed_seconds"
    }
}
