import AdminAPI
import ForgeAudit
import ForgeAuthority
import ForgeCore
import ForgeCrypto
import ForgeGate
import ForgeHTTP
import ForgeOS
import ForgePolicy
import RegistryAPI
import Synchronization
import Testing

/// A log in memory that can be told to fail.
private final class Log: AuditPort {
    let entries = Mutex<[AuditEntry]>([])
    let isBroken: Bool
    init(isBroken: Bool = false) { self.isBroken = isBroken }

    func append(_ new: [AuditEntry]) async throws(Fault) -> [AuditIndex] {
        if isBroken { throw Fault(.environment, "audit.unavailable", "no record can be made") }
        return entries.withLock { entries in
            let first = entries.count
            entries += new
            return new.indices.map { UInt64(first + $0) }
        }
    }
}

@Suite struct AuthorityTests {
    private let key = Ed25519.PrivateKey()
    private let now = Clock.now().nanoseconds / 1000

    private func snapshot(epoch: UInt64 = 1) -> EntitySnapshot {
        EntitySnapshot(
            epoch: epoch, issued: now, policy: PolicyBundle.shipped.digest,
            users: [
                .init(name: "dana", person: "p1", roles: ["data_scientist"]), .init(name: "omar", person: "p2", roles: ["security_officer"], uid: 1500),
                .init(name: "gone", person: "p3", roles: ["auditor"], disabled: true),
            ], apps: [.init(name: "crm", owner: "omar")],
            appKeys: [
                .init(id: "k1", app: "crm", digest: .sha256("forge_app_live"), expires: now + 60_000_000),
                .init(id: "k2", app: "crm", digest: .sha256("forge_app_old"), expires: now - 1),
            ],
            sessions: [
                .init(id: ID(), user: "dana", uid: 1000, digest: .sha256("forge_ses_dana"), started: now - 5_000_000, expires: now + 60_000_000),
                .init(id: ID(), user: "gone", uid: 1000, digest: .sha256("forge_ses_gone"), started: now, expires: now + 60_000_000),
                .init(id: ID(), user: "dana", uid: 1000, digest: .sha256("forge_ses_past"), started: now - 9, expires: now - 1),
            ])
    }

    private func mirror(pin: String? = nil) throws -> EntityMirror {
        let mirror = EntityMirror(AdminClient(HTTPClient(socket: "/nonexistent/admin.sock")), pinPath: pin)
        try mirror.accept(SnapshotDocument.sign(snapshot(), with: key))
        return mirror
    }

    private func identify(_ bearer: String?, uid: UInt32 = 1000) async throws -> KnownCaller {
        let identifier = Identifier(handed: [.sha256("forge_peer_abc"): .trainer], services: [990: .serve], mirror: try mirror())
        return try await identifier.identify(Caller(uid: uid, gid: uid, pid: 1, bearer: bearer, door: "operators"))
    }

    @Test func `each way of being known gives its principal and says how`() async throws {
        #expect(try await identify("forge_peer_abc").principal == .service(.trainer))
        #expect(try await identify("forge_peer_abc").method == .handed)
        #expect(try await identify(nil, uid: 990).principal == .service(.serve))
        let dana = try await identify("forge_ses_dana")
        #expect(dana.principal == .user("dana") && dana.method == .sshsig && dana.roles == ["data_scientist"])
        #expect(try await identify(nil, uid: 1500).principal == .user("omar"))
        #expect(try await identify("forge_app_live").principal == .app("crm"))
    }

    @Test(arguments: [
        (nil, 1000), ("forge_peer_other", 990), ("forge_ses_dana", 1001), ("forge_ses_past", 1000), ("forge_app_old", 1000), ("dana", 1000), ("", 990),
    ] as [(String?, UInt32)])
    func `who cannot be established is nobody`(bearer: String?, uid: UInt32) async {
        await #expect(throws: Fault.self) { try await identify(bearer, uid: uid) }
    }

    @Test func `a decision is on record before it is answered, refusals too`() async throws {
        let log = Log()
        let gate = Gate(DaemonAuthority(try mirror(), log: log, admin: nil))
        let dana = try await identify("forge_ses_dana")
        let permit = try await gate.permit(dana.request(.dataAdd, on: EntityID("Forge::Dataset", "policies")))
        #expect(permit.record == 0)
        let fault = await #expect(throws: Fault.self) { _ = try await gate.permit(dana.request(.auditRead, on: EntityID("Forge::Log", "audit"))).record }
        #expect(fault?.kind == .denied && fault?.record == 1)
        let entries = log.entries.withLock { $0 }
        #expect(entries.map(\.decision) == [.allow, .deny])
        #expect(entries[0].phase == .intent && entries[0].who.roles == ["data_scientist"])
        #expect(entries[0].policy?.rules == ["role.data_scientist.work"])
    }

    @Test func `a disabled person is refused by name of the guardrail`() async throws {
        let caller = try await identify("forge_ses_gone")
        let gate = Gate(DaemonAuthority(try mirror(), log: Log(), admin: nil))
        let fault = await #expect(throws: Fault.self) { _ = try await gate.permit(caller.request(.auditRead, on: EntityID("Forge::Log", "audit"))).record }
        #expect(fault?.why.contains("guard.disabled_user") == true)
    }

    @Test func `no record means no permit`() async throws {
        let gate = Gate(DaemonAuthority(try mirror(), log: Log(isBroken: true), admin: nil))
        let dana = try await identify("forge_ses_dana")
        await #expect(throws: Fault.self) { _ = try await gate.permit(dana.request(.dataAdd, on: EntityID("Forge::Dataset", "policies"))).record }
    }

    @Test func `a privileged action is never decided here`() async throws {
        let gate = Gate(DaemonAuthority(try mirror(), log: Log(), admin: nil))
        let dana = try await identify("forge_ses_dana")
        let fault = await #expect(throws: Fault.self) { _ = try await gate.permit(dana.request(.modelPromote, on: EntityID("Forge::Model", "m@1"))).record }
        #expect(fault?.code == "policy.privileged")
    }

    @Test func `a mirror without a snapshot decides nothing`() async {
        let mirror = EntityMirror(AdminClient(HTTPClient(socket: "/nonexistent/admin.sock")))
        #expect(throws: Fault.self) { _ = try mirror.view() }
    }

    @Test func `a snapshot that is forged, replayed, foreign or for another bundle is refused`() throws {
        let mirror = try mirror()
        try mirror.accept(SnapshotDocument.sign(snapshot(epoch: 5), with: key))
        #expect(throws: Fault.self, "older") { try mirror.accept(SnapshotDocument.sign(snapshot(epoch: 4), with: key)) }
        #expect(throws: Fault.self, "another key") { try mirror.accept(SnapshotDocument.sign(snapshot(epoch: 6), with: Ed25519.PrivateKey())) }
        var forged = try SnapshotDocument.sign(snapshot(epoch: 7), with: key)
        forged.document = Base64.encode(Array(Base64.decode(forged.document)!.map { $0 == 0x37 ? 0x38 : $0 }))
        #expect(throws: Fault.self, "changed") { try mirror.accept(forged) }
        var other = snapshot(epoch: 8)
        other.policy = .sha256("another bundle")
        #expect(throws: Fault.self, "bundle") { try mirror.accept(SnapshotDocument.sign(other, with: key)) }
        #expect(try mirror.view().snapshot.epoch == 5)
    }

    @Test func `the key seen first is remembered across a restart`() throws {
        let path = "/tmp/forge-pin-\(ID())"
        defer { try? Durable.remove(path) }
        _ = try mirror(pin: path)
        let restarted = EntityMirror(AdminClient(HTTPClient(socket: "/nonexistent/admin.sock")), pinPath: path)
        #expect(throws: Fault.self) { try restarted.accept(SnapshotDocument.sign(snapshot(), with: Ed25519.PrivateKey())) }
        try restarted.accept(SnapshotDocument.sign(snapshot(), with: key))
    }
}
