package import ForgeCore

/// An entity of the policy language: a type such as `Forge::User` and an id within it.
package struct EntityID: Hashable, Sendable, Comparable, CustomStringConvertible, Codable {
    package let type: String
    package let id: String

    package init(_ type: String, _ id: String) {
        self.type = type
        self.id = id
    }

    package static func < (a: EntityID, b: EntityID) -> Bool { (a.type, a.id) < (b.type, b.id) }

    /// As the policy language spells it: `Forge::User::"alice"`.
    package var description: String { "\(type)::\(JSON.string(id).text)" }
}

/// Who acts. A person, a daemon, an application holding a key, or nobody yet.
package enum Principal: Hashable, Sendable, CustomStringConvertible {
    case user(String)
    case service(DaemonName)
    case app(String)

    package var entity: EntityID {
        switch self {
        case .user(let name): EntityID("Forge::User", name)
        case .service(let name): EntityID("Forge::Service", name.rawValue)
        case .app(let name): EntityID("Forge::App", name)
        }
    }

    package var description: String { entity.description }

    package init?(_ entity: EntityID) {
        switch entity.type {
        case "Forge::User": self = .user(entity.id)
        case "Forge::App": self = .app(entity.id)
        case "Forge::Service":
            guard let name = DaemonName(rawValue: entity.id) else { return nil }
            self = .service(name)
        default: return nil
        }
    }
}

/// The four daemons, by the names their units, sockets and audit records carry.
package enum DaemonName: String, Sendable, Hashable, CaseIterable, Codable {
    case trainer
    case registry
    case serve
    case admin
}

/// How a principal was established; recorded with each decision, and readable by policies.
package enum AuthMethod: String, Sendable, Hashable, Codable {
    /// The kernel's word for the peer's uid (`SO_PEERCRED`).
    case peercred
    /// A sign-in with an SSH key (`forge login`).
    case sshsig
    /// A key of an application.
    case apikey
    /// A daemon's credential, handed over an inherited socket pair under `forge up`.
    case handed
}

/// One question to the policy: may this principal do this to that, now?
package struct AccessRequest: Hashable, Sendable {
    package var principal: Principal
    package var method: AuthMethod
    /// The caller's uid as the kernel reports it; evidence, and the key of the packaged system's identities.
    package var uid: UInt32
    /// An action id of `Forge::Action`, such as `model.promote`.
    package var action: String
    package var resource: EntityID
    /// What the resource is made of, where the action binds content: a vote for one digest never serves another.
    package var resourceDigest: Digest?
    /// Attributes of the resource, as the daemon that owns it states them.
    package var attributes: JSON.Object
    /// Facts of the moment: approval, age of the sign-in. Never a principal.
    package var context: JSON.Object

    package init(
        _ principal: Principal, method: AuthMethod, uid: UInt32, action: String, resource: EntityID, resourceDigest: Digest? = nil,
        attributes: JSON.Object = .init(), context: JSON.Object = .init()
    ) {
        self.principal = principal
        self.method = method
        self.uid = uid
        self.action = action
        self.resource = resource
        self.resourceDigest = resourceDigest
        self.attributes = attributes
        self.context = context
    }
}
