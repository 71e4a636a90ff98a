package import ForgeCore
package import ForgeGate

/// How forge-admin is. Readable by anyone who may connect.
package struct AdminStatus: Codable, Sendable, Hashable {
    /// Whether the people are enrolled.
    package var initialised: Bool
    package var epoch: UInt64
    package var policy: Digest?
    package var users: Int
    /// Records of the log this witness has cosigned.
    package var witnessed: UInt64
    package var version: String

    package init(initialised: Bool, epoch: UInt64, policy: Digest?, users: Int, witnessed: UInt64, version: String = ForgeVersion.current) {
        self.initialised = initialised
        self.epoch = epoch
        self.policy = policy
        self.users = users
        self.witnessed = witnessed
        self.version = version
    }
}

/// The people of an appliance, as `forge init --file` reads them (docs/formats/site.md).
package struct SiteDescription: Codable, Sendable, Hashable {
    package struct Person: Codable, Sendable, Hashable {
        /// The account: 1 to 32 of `a-z 0-9 - _`, starting with a letter.
        package var name: String
        /// Who the human being is; two accounts with one person count once. The account's name when left out.
        package var person: String?
        package var roles: [String]
        /// Lines as in `authorized_keys`, without options.
        package var keys: [String]
        package var uid: UInt32?

        package init(name: String, person: String? = nil, roles: [String], keys: [String], uid: UInt32? = nil) {
            self.name = name
            self.person = person
            self.roles = roles
            self.keys = keys
            self.uid = uid
        }
    }

    package var organisation: String
    package var appliance: String
    package var persons: [Person]

    package init(organisation: String, appliance: String, persons: [Person]) {
        self.organisation = organisation
        self.appliance = appliance
        self.persons = persons
    }
}

package struct InitReply: Codable, Sendable, Hashable {
    package var epoch: UInt64
    package var policy: Digest
    package var users: [String]
    /// The witness's verifier key, in C2SP signed-note form.
    package var witnessKey: String

    package init(epoch: UInt64, policy: Digest, users: [String], witnessKey: String) {
        self.epoch = epoch
        self.policy = policy
        self.users = users
        self.witnessKey = witnessKey
    }
}

/// What a person signs to sign in.
package struct LoginChallenge: Codable, Sendable, Hashable {
    /// Random, single use, bound to the caller's uid.
    package var challenge: String
    /// UTC microseconds.
    package var expires: Int64

    package static let namespace = "forge-login"

    package init(challenge: String, expires: Int64) {
        self.challenge = challenge
        self.expires = expires
    }

    /// The bytes to sign.
    package func signedMessage(user: String) -> [UInt8] { Array("forge-login-v1 \(user) \(challenge)\n".utf8) }
}

package struct LoginRequest: Codable, Sendable, Hashable {
    package var user: String
    package var challenge: String
    /// SSHSIG over the challenge's message, armoured.
    package var signature: String

    package init(user: String, challenge: String, signature: String) {
        self.user = user
        self.challenge = challenge
        self.signature = signature
    }
}

package struct LoginReply: Codable, Sendable {
    /// `forge_ses_…`. A secret, shown once.
    package var credential: String
    package var user: String
    package var roles: [String]
    /// UTC microseconds.
    package var expires: Int64
    package var record: AuditIndex

    package init(credential: String, user: String, roles: [String], expires: Int64, record: AuditIndex) {
        self.credential = credential
        self.user = user
        self.roles = roles
        self.expires = expires
        self.record = record
    }
}

package struct WhoAmI: Codable, Sendable, Hashable {
    package var principal: EntityID
    package var method: AuthMethod
    package var uid: UInt32
    package var roles: [String]
    /// UTC microseconds; for a sign-in.
    package var expires: Int64?

    package init(principal: EntityID, method: AuthMethod, uid: UInt32, roles: [String], expires: Int64? = nil) {
        self.principal = principal
        self.method = method
        self.uid = uid
        self.roles = roles
        self.expires = expires
    }
}

/// What the policies would say, without doing anything.
package struct CanI: Codable, Sendable, Hashable {
    package var action: String
    package var resource: EntityID
    package var verdict: Verdict

    package init(action: String, resource: EntityID, verdict: Verdict) {
        self.action = action
        self.resource = resource
        self.verdict = verdict
    }
}

package struct UserView: Codable, Sendable, Hashable {
    package var name: String
    package var person: String
    package var roles: [String]
    /// `SHA256:` fingerprints of the enrolled keys.
    package var fingerprints: [String]
    package var disabled: Bool
    package var uid: UInt32?

    package init(name: String, person: String, roles: [String], fingerprints: [String], disabled: Bool, uid: UInt32?) {
        self.name = name
        self.person = person
        self.roles = roles
        self.fingerprints = fingerprints
        self.disabled = disabled
        self.uid = uid
    }
}

package struct AppKeyRequest: Codable, Sendable, Hashable {
    package var app: String
    /// 1 to 365; 90 when left out.
    package var days: Int?
    package var reason: String?

    package init(app: String, days: Int? = nil, reason: String? = nil) {
        self.app = app
        self.days = days
        self.reason = reason
    }
}

package struct AppKeyView: Codable, Sendable, Hashable {
    package var id: String
    package var app: String
    package var owner: String
    package var created: Int64
    package var expires: Int64
    package var revoked: Bool

    package init(id: String, app: String, owner: String, created: Int64, expires: Int64, revoked: Bool) {
        self.id = id
        self.app = app
        self.owner = owner
        self.created = created
        self.expires = expires
        self.revoked = revoked
    }
}

package struct AppKeyCreated: Codable, Sendable {
    package var key: AppKeyView
    /// `forge_app_…`. A secret, shown once.
    package var credential: String

    package init(key: AppKeyView, credential: String) {
        self.key = key
        self.credential = credential
    }
}
