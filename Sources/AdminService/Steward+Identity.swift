package import AdminAPI
import ForgeAudit
package import ForgeCore
import ForgeCrypto
package import ForgeGate
package import ForgeHTTP
import RegistryAPI

/// Who is calling, established here from live state: never from a message.
package struct AdminCaller: Sendable, Hashable {
    package let principal: Principal
    package let method: AuthMethod
    package let uid: UInt32
    package let session: SessionTable.Session?

    /// - Throws: `.denied` unless it is a person.
    func user() throws(Fault) -> String {
        guard case .user(let name) = principal else {
            throw Fault(.denied, "admin.person", "only a person may do this", why: "`\(principal)` is none", remedy: "sign in with `forge login`")
        }
        return name
    }

    /// - Throws: `.denied` unless it is a daemon.
    func daemon() throws(Fault) -> DaemonName {
        guard case .service(let name) = principal else {
            throw Fault(.denied, "admin.daemon", "only Forge's own daemons may ask this", why: "`\(principal)` is none")
        }
        return name
    }
}

/// How daemons are known, which differs between `forge up` and the installed system.
package struct Recognition: Sendable {
    /// The daemon that is calling, if it is one.
    package let daemon: @Sendable (Caller) -> (name: DaemonName, method: AuthMethod)?

    package init(_ daemon: @escaping @Sendable (Caller) -> (name: DaemonName, method: AuthMethod)?) { self.daemon = daemon }

    /// Daemons of `forge up`, each by the SHA-256 of the credential it was handed.
    package static func handed(_ peers: [Digest: DaemonName]) -> Recognition {
        Recognition { caller in
            guard let bearer = caller.bearer, bearer.hasPrefix("forge_peer_"), let name = peers[Digest.sha256(bearer)] else { return nil }
            return (name, .handed)
        }
    }

    /// The accounts the package makes, one a daemon.
    package static let accounts: [(account: String, name: DaemonName)] = [
        ("forge-train", .trainer), ("forge-registry", .registry), ("forge-serve", .serve), ("forge-admin", .admin),
    ]

    /// Daemons of the installed system, each by its uid. A caller who shows a credential is whoever the credential says.
    package static func installed(_ services: [UInt32: DaemonName]) -> Recognition {
        Recognition { caller in caller.bearer == nil ? services[caller.uid].map { ($0, .peercred) } : nil }
    }
}

extension Steward {
    /// - Throws: `.unauthenticated` when nobody can be established.
    package func identify(_ caller: Caller, _ recognition: Recognition) throws(Fault) -> AdminCaller {
        if let daemon = recognition.daemon(caller) {
            return AdminCaller(principal: .service(daemon.name), method: daemon.method, uid: caller.uid, session: nil)
        }
        let now = clock()
        if let bearer = caller.bearer {
            let digest = Digest.sha256(bearer)
            if bearer.hasPrefix("forge_ses_") {
                guard let session = sessions.find(digest, uid: caller.uid, now: now), let account = directory?.accounts[session.user], !account.disabled else {
                    throw Fault(.unauthenticated, "login.expired", "the sign-in is not good any more", why: "it ran out, was ended, belongs to another uid, or forge-admin was started again since", remedy: "sign in again: `forge login NAME --key FILE`")
                }
                if sessions.touch(digest, now: now) { try changed() }
                return AdminCaller(principal: .user(session.user), method: .sshsig, uid: caller.uid, session: session)
            }
            if AppKeyBook.isWellFormed(bearer), let key = appKeys.sorted.first(where: { $0.digest == digest && $0.isGood(at: now) }) {
                return AdminCaller(principal: .app(key.app), method: .apikey, uid: caller.uid, session: nil)
            }
            throw Fault(.unauthenticated, "login.unknown", "the credential is not known", remedy: "sign in with `forge login NAME --key FILE`, or ask a security officer for a key")
        }
        if trustsUIDs, let account = directory?.account(ofUID: caller.uid) {
            return AdminCaller(principal: .user(account.name), method: .peercred, uid: caller.uid, session: nil)
        }
        throw Fault(.unauthenticated, "login.required", "who is calling is not known", remedy: "sign in: `forge login NAME --key FILE`")
    }

    package func whoAmI(_ caller: AdminCaller) -> WhoAmI {
        WhoAmI(principal: caller.principal.entity, method: caller.method, uid: caller.uid, roles: roles(of: caller.principal), expires: caller.session?.expires)
    }

    func roles(of principal: Principal) -> [String] {
        guard case .user(let name) = principal else { return [] }
        return directory?.accounts[name]?.roles ?? []
    }

    func subject(_ principal: Principal, method: AuthMethod, uid: UInt32, session: ID? = nil) -> AuditEntry.Subject {
        AuditEntry.Subject(principal, method: method, uid: uid, roles: roles(of: principal), session: session)
    }

    // MARK: signing in

    package func challenge(uid: UInt32) throws(Fault) -> LoginChallenge {
        _ = try site()
        let (text, expires) = sessions.challenge(uid: uid, now: clock())
        return LoginChallenge(challenge: text, expires: expires)
    }

    /// Opens a session for whoever signed the challenge with an enrolled key. A refusal is on record and says no more than that.
    package func login(_ request: LoginRequest, caller: Caller, id: ID) async throws(Fault) -> LoginReply {
        let (directory, _) = try site()
        let now = clock()
        let account = directory.accounts[request.user]
        let fresh = sessions.spend(request.challenge, uid: caller.uid, now: now)
        let why: String?
        if !fresh {
            why = "login.challenge"
        } else if account == nil || account?.disabled == true {
            why = "login.account"
        } else {
            let message = LoginChallenge(challenge: request.challenge, expires: 0).signedMessage(user: request.user)
            why = account.flatMap { Steward.signer($0, of: message, namespace: LoginChallenge.namespace, request.signature) } == nil ? "login.signature" : nil
        }
        guard let account, why == nil else {
            let code = why ?? "login.account"
            let entry = AuditEntry(
                .loginRefused, .event, request: id, who: .nobody(uid: caller.uid), object: .init("Forge::User", Directory.isName(request.user) ? request.user : "unreadable"),
                outcome: .failed(code: code))
            let record = try await audit.append(entry)
            throw Fault(
                .unauthenticated, "login.refused", "the sign-in was refused", why: fresh ? "the signature is not one of `\(request.user)`'s enrolled keys over this challenge" : "the challenge was used, ran out, or was for another uid",
                remedy: "run `forge login NAME --key FILE` with the key that is enrolled", record: record)
        }
        let record = try await audit.append(
            AuditEntry(.login, .event, request: id, who: subject(.user(account.name), method: .sshsig, uid: caller.uid), object: .init("Forge::User", account.name), outcome: .ok))
        let (session, credential) = sessions.open(user: account.name, uid: caller.uid, now: clock())
        try changed()
        return LoginReply(credential: credential, user: account.name, roles: account.roles, expires: session.expires, record: record)
    }

    package func logout(_ caller: AdminCaller, id: ID) async throws(Fault) {
        guard let session = caller.session else { return }
        if sessions.close(session.digest) { try changed() }
        _ = try await audit.append(
            AuditEntry(.logout, .event, request: id, who: subject(caller.principal, method: caller.method, uid: caller.uid, session: session.id), outcome: .ok))
    }

    /// Other daemons tell which sign-ins were used with them, so that work elsewhere is no idleness here.
    package func touch(_ digests: [Digest]) throws(Fault) {
        var moved = false
        for digest in digests where sessions.touch(digest, now: clock()) { moved = true }
        if moved { try changed() }
    }

    /// The key of this account that made the signature, or nil.
    static func signer(_ account: Directory.Account, of message: [UInt8], namespace: String, _ armored: String) -> SSHPublicKey? {
        guard let signature = try? SSHSignature(armored: armored), let key = account.keys.first(where: { $0 == signature.key }),
            (try? signature.verify(message: message, namespace: namespace, key: key)) != nil
        else { return nil }
        return key
    }
}
