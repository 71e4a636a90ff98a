package import ForgeCore
package import ForgeGate

/// The first ceremony: it makes every key of the store. Answered once in the life of an appliance.
package struct StoreInit: Codable, Sendable {
    /// Both name the log: `organisation/appliance/audit`.
    package var organisation: String
    package var appliance: String
    package var passphrase: String
    /// Cost of a guess at the passphrase, a power of two; 2^17 when left out. Less is for tests.
    package var scryptN: Int?

    package init(organisation: String, appliance: String, passphrase: String, scryptN: Int? = nil) {
        self.organisation = organisation
        self.appliance = appliance
        self.passphrase = passphrase
        self.scryptN = scryptN
    }

    package enum CodingKeys: String, CodingKey {
        case organisation, appliance, passphrase
        case scryptN = "scrypt_n"
    }
}

package struct StoreInitReply: Codable, Sendable {
    package var store: ID
    package var origin: String
    /// The log's verifier key, C2SP signed-note form: an auditor writes it down.
    package var logKey: String
    /// The public key of manifests, PEM: likewise.
    package var manifestKey: String
    /// Printed once, never kept: the second way in.
    package var recovery: String

    package init(store: ID, origin: String, logKey: String, manifestKey: String, recovery: String) {
        self.store = store
        self.origin = origin
        self.logKey = logKey
        self.manifestKey = manifestKey
        self.recovery = recovery
    }

    package enum CodingKeys: String, CodingKey {
        case store, origin, recovery
        case logKey = "log_key"
        case manifestKey = "manifest_key"
    }
}

/// One of the two opens the store.
package struct UnsealRequest: Codable, Sendable {
    package var passphrase: String?
    package var recovery: String?

    package init(passphrase: String? = nil, recovery: String? = nil) {
        self.passphrase = passphrase
        self.recovery = recovery
    }
}

/// What a daemon asks a key for. The key is made the first time it is asked for.
package struct KeyRequest: Codable, Sendable, Hashable {
    package enum Purpose: String, Codable, Sendable, Hashable {
        case dataset
        case run
    }

    package var purpose: Purpose
    /// Of the data set or run, as the trainer numbers them.
    package var id: ID

    package init(purpose: Purpose, id: ID) {
        self.purpose = purpose
        self.id = id
    }
}

/// A released key with the ids that its sealed files carry (docs/formats/sealed-blob.md).
package struct KeyReply: Codable, Sendable {
    package var store: ID
    package var project: ID
    /// Base64, 32 bytes. A secret.
    package var key: String
    package var record: AuditIndex

    package init(store: ID, project: ID, key: String, record: AuditIndex) {
        self.store = store
        self.project = project
        self.key = key
        self.record = record
    }
}
