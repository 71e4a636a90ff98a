package import ForgeCore

/// Who exists, as of one epoch: what the other daemons decide with. Sent to daemons alone.
///
/// Times are UTC microseconds. A credential never stands here, only its SHA-256: sign-ins and keys are random and long, so a fast
/// digest is enough.
package struct EntitySnapshot: Codable, Sendable, Hashable {
    package struct User: Codable, Sendable, Hashable {
        /// The account, `Forge::User::"name"`.
        package var name: String
        /// The human being behind it.
        package var person: String
        package var roles: [String]
        package var disabled: Bool
        /// In the installed system, the uid that is this person.
        package var uid: UInt32?

        package init(name: String, person: String, roles: [String], disabled: Bool = false, uid: UInt32? = nil) {
            self.name = name
            self.person = person
            self.roles = roles
            self.disabled = disabled
            self.uid = uid
        }
    }

    package struct App: Codable, Sendable, Hashable {
        package var name: String
        package var owner: String
        package var disabled: Bool

        package init(name: String, owner: String, disabled: Bool = false) {
            self.name = name
            self.owner = owner
            self.disabled = disabled
        }
    }

    package struct AppKey: Codable, Sendable, Hashable {
        package var id: String
        package var app: String
        /// SHA-256 of the whole credential.
        package var digest: Digest
        package var expires: Int64

        package init(id: String, app: String, digest: Digest, expires: Int64) {
            self.id = id
            self.app = app
            self.digest = digest
            self.expires = expires
        }
    }

    package struct Session: Codable, Sendable, Hashable {
        package var id: ID
        package var user: String
        /// The only uid it counts for.
        package var uid: UInt32
        /// SHA-256 of the whole credential.
        package var digest: Digest
        package var started: Int64
        package var expires: Int64

        package init(id: ID, user: String, uid: UInt32, digest: Digest, started: Int64, expires: Int64) {
            self.id = id
            self.user = user
            self.uid = uid
            self.digest = digest
            self.started = started
            self.expires = expires
        }
    }

    /// Grows with every change; a smaller one is a replay.
    package var epoch: UInt64
    package var issued: Int64
    /// The active policy bundle.
    package var policy: Digest
    package var users: [User]
    package var apps: [App]
    package var appKeys: [AppKey]
    package var sessions: [Session]

    package init(epoch: UInt64, issued: Int64, policy: Digest, users: [User], apps: [App], appKeys: [AppKey], sessions: [Session]) {
        self.epoch = epoch
        self.issued = issued
        self.policy = policy
        self.users = users
        self.apps = apps
        self.appKeys = appKeys
        self.sessions = sessions
    }
}

/// A snapshot with forge-admin's Ed25519 signature over `forge-snapshot-v1\n` and the document's bytes.
package struct SignedSnapshot: Codable, Sendable, Hashable {
    /// The snapshot's JSON, in base64: the very bytes that were signed.
    package var document: String
    /// Base64, 64 bytes.
    package var signature: String
    /// Base64, 32 bytes. Pinned by each daemon when it first sees it.
    package var key: String

    package init(document: String, signature: String, key: String) {
        self.document = document
        self.signature = signature
        self.key = key
    }

    package static func signedMessage(_ document: [UInt8]) -> [UInt8] { Array("forge-snapshot-v1\n".utf8) + document }
}

/// The active policy bundle: its files, and the officers' signatures over its digest.
package struct BundleMessage: Codable, Sendable, Hashable {
    package struct File: Codable, Sendable, Hashable {
        package var name: String
        package var content: String
        package init(name: String, content: String) {
            self.name = name
            self.content = content
        }
    }

    package struct Signature: Codable, Sendable, Hashable {
        package var user: String
        package var fingerprint: String
        /// SSHSIG, armoured.
        package var signature: String
        package init(user: String, fingerprint: String, signature: String) {
            self.user = user
            self.fingerprint = fingerprint
            self.signature = signature
        }
    }

    package var digest: Digest
    package var files: [File]
    package var signatures: [Signature]
    /// UTC microseconds.
    package var activated: Int64

    package init(digest: Digest, files: [File], signatures: [Signature], activated: Int64) {
        self.digest = digest
        self.files = files
        self.signatures = signatures
        self.activated = activated
    }
}

/// Sign-ins that a daemon saw in use, by the SHA-256 of their credentials.
package struct SessionsTouched: Codable, Sendable, Hashable {
    package var digests: [Digest]
    package init(digests: [Digest]) { self.digests = digests }
}
