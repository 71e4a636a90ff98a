internal import AdminAPI
package import ForgeAudit
package import ForgeCore
internal import ForgeCrypto
package import ForgeGate
package import ForgeHTTP
internal import ForgeOS

/// A caller whose principal was established.
package struct KnownCaller: Sendable, Hashable {
    package let principal: Principal
    package let method: AuthMethod
    package let uid: UInt32
    /// Sorted.
    package let roles: [String]
    /// The sign-in, and when it began.
    package let session: ID?
    package let sessionStarted: Timestamp?
    package let door: Door

    package init(
        principal: Principal, method: AuthMethod, uid: UInt32, roles: [String], session: ID? = nil, sessionStarted: Timestamp? = nil, door: Door
    ) {
        self.principal = principal
        self.method = method
        self.uid = uid
        self.roles = roles
        self.session = session
        self.sessionStarted = sessionStarted
        self.door = door
    }

    /// As the log names it.
    package var subject: AuditEntry.Subject { .init(principal, method: method, uid: uid, roles: roles, session: session) }

    package var service: DaemonName? { if case .service(let name) = principal { name } else { nil } }
    package var user: String? { if case .user(let name) = principal { name } else { nil } }

    /// A request of this caller, with the facts of the moment that policies may read.
    /// - Parameter reason: what the person gave as their reason.
    package func request(
        _ action: AuditAction, on resource: EntityID, digest: Digest? = nil, attributes: JSON.Object = .init(), context: JSON.Object = .init(), reason: String? = nil
    ) -> AccessRequest {
        var moment = context
        moment["door"] = .string(door.name)
        if let reason { moment["reason"] = .string(reason) }
        if let sessionStarted { moment["sessionAgeSeconds"] = .int(max(0, (Clock.now().nanoseconds - sessionStarted.nanoseconds) / 1_000_000_000)) }
        return AccessRequest(
            principal, method: method, uid: uid, action: action.rawValue, resource: resource, resourceDigest: digest, attributes: attributes, context: moment)
    }
}

/// Turns what the kernel and a credential say into a principal. The order is fixed, and nothing a caller writes names one.
package struct Identifier: Sendable {
    /// Daemons of `forge up`, by the SHA-256 of the credential each was handed. Empty in the installed system.
    private let handed: [Digest: DaemonName]
    /// Daemons of the installed system, by uid. Empty under `forge up`.
    private let services: [UInt32: DaemonName]
    private let mirror: EntityMirror

    package init(handed: [Digest: DaemonName] = [:], services: [UInt32: DaemonName] = [:], mirror: EntityMirror) {
        self.handed = handed
        self.services = services
        self.mirror = mirror
    }

    package static let peerPrefix = "forge_peer_"
    package static let sessionPrefix = "forge_ses_"
    package static let appPrefix = "forge_app_"

    /// The daemon that calls, if one does. Needs no snapshot: the log must take records before anybody is enrolled.
    package func service(_ caller: Caller) -> DaemonName? {
        if let bearer = caller.bearer {
            guard bearer.hasPrefix(Identifier.peerPrefix) else { return nil }
            return handed[.sha256(bearer)]
        }
        return services[caller.uid]
    }

    /// - Throws: `.unauthenticated` when nobody can be established, `.environment` when the mirror is blind.
    package func identify(_ caller: Caller) async throws(Fault) -> KnownCaller {
        if let name = service(caller) {
            return KnownCaller(principal: .service(name), method: caller.bearer == nil ? .peercred : .handed, uid: caller.uid, roles: [], door: caller.door)
        }
        guard let bearer = caller.bearer else { return try await person(uid: caller.uid, door: caller.door) }
        if bearer.hasPrefix(Identifier.sessionPrefix) { return try await session(bearer, caller) }
        if bearer.hasPrefix(Identifier.appPrefix) { return try await app(bearer, caller) }
        throw Identifier.unknown("this credential is of no kind that is known here")
    }

    private func person(uid: UInt32, door: Door) async throws(Fault) -> KnownCaller {
        guard let user = try await mirror.current().user(uid: uid) else { throw Identifier.unknown("nobody has signed in on this connection") }
        return KnownCaller(principal: .user(user.name), method: .peercred, uid: uid, roles: user.roles.sorted(), door: door)
    }

    private func session(_ bearer: String, _ caller: Caller) async throws(Fault) -> KnownCaller {
        let digest = Digest.sha256(bearer)
        // A sign-in of a moment ago may be newer than the mirror: ask once before refusing.
        if try await mirror.current().session(digest) == nil { try await mirror.refresh() }
        let view = try mirror.view()
        guard let session = view.session(digest) else { throw Identifier.unknown("this sign-in has ended, or forge-admin was started again since") }
        guard session.expires > Clock.now().nanoseconds / 1000 else { throw Identifier.unknown("this sign-in has expired") }
        guard session.uid == caller.uid else { throw Identifier.unknown("this sign-in belongs to another uid of this machine") }
        guard let user = view.user(session.user) else { throw Identifier.unknown("`\(session.user)` is no longer enrolled") }
        mirror.used(digest)
        return KnownCaller(
            principal: .user(user.name), method: .sshsig, uid: caller.uid, roles: user.roles.sorted(), session: session.id,
            sessionStarted: Timestamp(nanoseconds: session.started * 1000), door: caller.door)
    }

    private func app(_ bearer: String, _ caller: Caller) async throws(Fault) -> KnownCaller {
        let digest = Digest.sha256(bearer)
        if try await mirror.current().appKey(digest) == nil { try await mirror.refresh() }
        guard let key = try mirror.view().appKey(digest) else { throw Identifier.unknown("this key is not known or was revoked") }
        guard key.expires > Clock.now().nanoseconds / 1000 else { throw Identifier.unknown("this key has expired") }
        return KnownCaller(principal: .app(key.app), method: .apikey, uid: caller.uid, roles: [], door: caller.door)
    }

    private static func unknown(_ why: String) -> Fault {
        Fault(.unauthenticated, "auth.unknown", "cannot tell who is asking", why: why, remedy: "sign in with `forge login NAME --key FILE`, or send a key of an application")
    }
}
