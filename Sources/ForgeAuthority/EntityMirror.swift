package import AdminAPI
package import ForgeCore
internal import ForgeCrypto
package import ForgeGate
internal import ForgeOS
package import ForgePolicy
internal import Synchronization

/// One epoch of who exists, ready to decide with.
package struct EntityView: Sendable {
    package let snapshot: EntitySnapshot
    /// Principals and roles, and the schema's actions.
    package let entities: EntityStore
    package let engine: PolicyEngine
    private let users: [String: EntitySnapshot.User]
    private let sessions: [Digest: EntitySnapshot.Session]
    private let appKeys: [Digest: EntitySnapshot.AppKey]
    private let usersByUID: [UInt32: EntitySnapshot.User]

    /// - Throws: `.environment` when the snapshot does not fit the bundle.
    package init(_ snapshot: EntitySnapshot, _ bundle: PolicyBundle) throws(Fault) {
        guard snapshot.policy == bundle.digest else {
            throw Fault(
                .environment, "authority.policy", "cannot decide with the policy bundle at hand",
                why: "forge-admin decides with \(snapshot.policy.short), this daemon has \(bundle.digest.short)", remedy: "check that all daemons are of one release")
        }
        self.snapshot = snapshot
        engine = PolicyEngine(bundle)
        users = Dictionary(snapshot.users.map { ($0.name, $0) }) { first, _ in first }
        sessions = Dictionary(snapshot.sessions.map { ($0.digest, $0) }) { first, _ in first }
        appKeys = Dictionary(snapshot.appKeys.map { ($0.digest, $0) }) { first, _ in first }
        usersByUID = Dictionary(snapshot.users.compactMap { user in user.uid.map { ($0, user) } }) { first, _ in first }
        do { entities = try EntityStore(bundle.schema.actionEntities).adding(EntityView.entities(snapshot)) } catch {
            throw Fault(.environment, "authority.snapshot", "cannot read forge-admin's snapshot", why: error.reason)
        }
    }

    package func user(_ name: String) -> EntitySnapshot.User? { users[name] }
    package func user(uid: UInt32) -> EntitySnapshot.User? { usersByUID[uid] }
    package func session(_ credential: Digest) -> EntitySnapshot.Session? { sessions[credential] }
    package func appKey(_ credential: Digest) -> EntitySnapshot.AppKey? { appKeys[credential] }

    /// Sorted; empty for a service or an application.
    package func roles(of principal: Principal) -> [String] {
        guard case .user(let name) = principal else { return [] }
        return (users[name]?.roles ?? []).sorted()
    }

    private static func entities(_ snapshot: EntitySnapshot) -> [Entity] {
        func role(_ name: String) -> EntityUID { EntityUID("Forge::Role", ExactText(name)) }
        let named = Set(snapshot.users.flatMap(\.roles)).union(Role.all).union(["everyone"])
        var out = named.sorted().map { Entity(role($0)) }
        out += DaemonName.allCases.map { Entity(EntityUID(Principal.service($0).entity)) }
        for user in snapshot.users {
            out.append(
                Entity(
                    EntityUID(Principal.user(user.name).entity), attributes: ["person": .string(ExactText(user.person)), "disabled": .bool(user.disabled)],
                    parents: Set((user.roles + ["everyone"]).map(role))))
        }
        for app in snapshot.apps {
            out.append(
                Entity(EntityUID(Principal.app(app.name).entity), attributes: ["owner": .string(ExactText(app.owner)), "disabled": .bool(app.disabled)]))
        }
        return out
    }
}

/// The roles the shipped bundle speaks of (policy/10-roles.cedar).
package enum Role {
    package static let all = ["auditor", "data_scientist", "ml_lead", "operator", "release_manager", "security_officer"]
}

/// Keeps the latest snapshot at hand. One per daemon; `run` follows forge-admin until it is cancelled.
package final class EntityMirror: Sendable {
    /// A mirror that has not heard from forge-admin for longer than this decides nothing (guard.md §3).
    package static let staleness: Duration = .seconds(30)

    private let admin: AdminClient
    private let bundle: PolicyBundle
    private let pinPath: String?
    private struct State {
        var view: EntityView?
        var heard: ContinuousClock.Instant?
        var key: [UInt8]?
        var used: Set<Digest> = []
        var reported: ContinuousClock.Instant?
    }
    private let state = Mutex(State())

    /// - Parameter pinPath: where this daemon remembers forge-admin's key; nil forgets it with the process.
    package init(_ admin: AdminClient, bundle: PolicyBundle = .shipped, pinPath: String? = nil) {
        self.admin = admin
        self.bundle = bundle
        self.pinPath = pinPath
    }

    /// - Throws: `.environment` when there is no snapshot yet, or none fresh enough to deny nobody wrongly and permit nobody wrongly.
    package func view() throws(Fault) -> EntityView {
        let (view, heard) = state.withLock { ($0.view, $0.heard) }
        guard let view, let heard else { throw EntityMirror.blind("forge-admin has not published who exists yet") }
        guard heard.duration(to: .now) <= EntityMirror.staleness else { throw EntityMirror.blind("forge-admin has not answered for \(EntityMirror.staleness.components.seconds) seconds") }
        return view
    }

    /// As `view`, but a daemon that has not heard from forge-admin at all, as right after its start, asks first: `ready` then means that it can decide.
    package func current() async throws(Fault) -> EntityView {
        if state.withLock({ $0.view == nil }) { try? await refresh() }
        return try view()
    }

    /// Asks once, now: for a credential made a moment ago.
    package func refresh() async throws(Fault) {
        let epoch = state.withLock { $0.view?.snapshot.epoch }
        try accept(try await admin.snapshot(after: epoch))
    }

    /// Follows forge-admin. Failures are waited out; the staleness bound turns a long one into denials.
    package func run() async {
        while !Task.isCancelled {
            let epoch = state.withLock { $0.view?.snapshot.epoch }
            do {
                try accept(try await admin.snapshot(after: epoch, wait: .seconds(10)))
                try await report()
            } catch {
                // Nobody to tell but the next caller, whom `view` tells.
                try? await Task.sleep(for: .milliseconds(500))
            }
        }
    }

    /// Notes that a sign-in was used here, so that work with this daemon is no idleness at forge-admin.
    package func used(_ credential: Digest) { state.withLock { _ = $0.used.insert(credential) } }

    /// Tells forge-admin, at most once a minute.
    private func report() async throws(Fault) {
        let used = state.withLock { state -> Set<Digest> in
            if let reported = state.reported, reported.duration(to: .now) < .seconds(60) { return [] }
            defer { state.used = [] }
            if !state.used.isEmpty { state.reported = .now }
            return state.used
        }
        if !used.isEmpty { try await admin.touch(Array(used.sorted().prefix(1024))) }
    }

    /// - Throws: `.environment` for a snapshot that is not forge-admin's, or older than one already seen.
    package func accept(_ signed: SignedSnapshot?) throws(Fault) {
        guard let signed else {
            state.withLock { $0.heard = .now }
            return
        }
        guard let document = Base64.decode(signed.document), let signature = Base64.decode(signed.signature), let raw = Base64.decode(signed.key),
            let key = Ed25519.PublicKey(raw), key.verify(signature, of: SignedSnapshot.signedMessage(document))
        else { throw EntityMirror.refused("its signature does not match its content") }
        guard try pin(raw) else { throw EntityMirror.refused("it is signed with another key than this daemon knows") }
        let snapshot: EntitySnapshot = try EntityMirror.decode(document)
        let view = try EntityView(snapshot, bundle)
        let isNewer = state.withLock { state in
            guard snapshot.epoch >= state.view?.snapshot.epoch ?? 0 else { return false }
            state.view = view
            state.heard = .now
            return true
        }
        guard isNewer else { throw EntityMirror.refused("it is older than one already seen") }
    }

    /// Remembers the first key and compares every later one.
    private func pin(_ raw: [UInt8]) throws(Fault) -> Bool {
        if let known = state.withLock({ $0.key }) { return known == raw }
        if let pinPath {
            if try Path.information(pinPath) != nil {
                let known = try File(pinPath, .read).readAll(limit: .kib(1))
                guard known == Array(Base64.encode(raw).utf8) else { return false }
            } else {
                try Durable.replace(pinPath, with: Array(Base64.encode(raw).utf8), mode: 0o600)
            }
        }
        state.withLock { $0.key = raw }
        return true
    }

    private static func decode(_ document: [UInt8]) throws(Fault) -> EntitySnapshot {
        do throws(Fault) { return try SnapshotDocument.decode(document) } catch {
            throw refused(error.message)
        }
    }

    private static func blind(_ why: String) -> Fault {
        Fault(.environment, "authority.blind", "cannot decide who may do what", why: why, remedy: "check forge-admin with `forge status`", retryable: true)
    }

    private static func refused(_ why: String) -> Fault {
        Fault(.environment, "authority.snapshot", "refused a snapshot of who exists", why: why, remedy: "check that forge-admin is the one this appliance was set up with")
    }
}
