import AdminAPI
import AdminService
import ForgeAudit
import ForgeAuthority
import ForgeCore
import ForgeCrypto
import ForgeGate
import ForgeHTTP
import ForgeOS
import Logging
import RegistryAPI
import Synchronization

/// A log that keeps what it is given, and holds every entry to the real leaf's rules.
final class MemoryLog: AuditPort {
    private struct State {
        var entries: [AuditEntry] = []
        var isDown = false
    }
    private let state = Mutex(State())

    var entries: [AuditEntry] { state.withLock { $0.entries } }
    func setDown(_ down: Bool) { state.withLock { $0.isDown = down } }

    func append(_ entries: [AuditEntry]) async throws(Fault) -> [AuditIndex] {
        guard !state.withLock({ $0.isDown }) else { throw Fault(.environment, "audit.unavailable", "the record could not be written") }
        var indexes: [AuditIndex] = []
        for entry in entries {
            let index = AuditIndex(self.entries.count)
            let stamp = LeafStamp(
                index: index, time: 1, boottime: 1, boot: ID(), clock: .init(isSynchronised: false, errorMax: 0, source: "none"), service: .init(.admin, pid: 1, uid: 1))
            _ = try AuditRecord(entry, stamp: stamp, redactor: .sealed)
            state.withLock { $0.entries.append(entry) }
            indexes.append(index)
        }
        return indexes
    }

    func last(_ action: AuditAction) -> AuditEntry? { entries.last { $0.action == action } }
}

/// UTC microseconds that move when they are told to.
final class TestClock: Sendable {
    private let time = Mutex<Int64>(1_800_000_000_000_000)
    var now: Int64 { time.withLock { $0 } }
    func advance(_ duration: Duration) { time.withLock { $0 += duration.components.seconds * 1_000_000 } }
}

/// Four people with real SSH keys, and forge-admin behind a real socket.
final class Institution: Sendable {
    let folder: String
    let log = MemoryLog()
    let clock = TestClock()
    let steward: Steward
    let routes: AdminRoutes
    let server: HTTPServer
    var socket: String { Path.join(folder, "admin.sock") }
    static let peers: [DaemonName: String] = [
        .registry: "forge_peer_registry-of-this-test-0000000000000000000", .serve: "forge_peer_serve-of-this-test-00000000000000000000000",
    ]
    static let people = ["dana": ["data_scientist"], "rene": ["release_manager"], "lee": ["ml_lead"], "otto": ["security_officer"]]

    private init(folder: String) throws {
        self.folder = folder
        let clock = clock
        steward = try Steward(state: Path.join(folder, "state"), audit: log, method: .handed, uid: ThisProcess.uid, trustsUIDs: false) { clock.now }
        let recognition = Recognition.handed(Dictionary(uniqueKeysWithValues: Institution.peers.map { (Digest.sha256($0.value), $0.key) }))
        routes = AdminRoutes(steward, recognition: recognition, witness: nil, uid: ThisProcess.uid)
        server = HTTPServer(door: "admin", routes: routes.routes, logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
    }

    /// Runs `body` against a running forge-admin, with the people enrolled unless told otherwise.
    static func with(enrolled: Bool = true, in folder: String? = nil, _ body: (Institution) async throws -> Void) async throws {
        let place = folder ?? "/tmp/forge-admin-test-\(ID())"
        if folder == nil { try Durable.makeDirectory(place) }
        let institution = try Institution(folder: place)
        defer { if folder == nil { try? Path.removeTree(place) } }
        let listener = try UnixSocket.listen(institution.socket, mode: 0o600)
        try await withThrowingTaskGroup { group in
            group.addTask { try await institution.server.run(listener: listener) }
            do {
                if enrolled {
                    try await institution.makeKeys()
                    _ = try await institution.client().initialise(try institution.site())
                }
                try await body(institution)
            } catch {
                await institution.server.drain(within: .seconds(1))
                throw error
            }
            await institution.server.drain(within: .seconds(1))
            try await group.waitForAll()
        }
    }

    func client(_ bearer: String? = nil) -> AdminClient { AdminClient(HTTPClient(socket: socket, bearer: bearer)) }
    func peer(_ name: DaemonName = .registry) -> AdminClient { client(Institution.peers[name]) }

    // MARK: keys and signatures, by OpenSSH itself

    func key(_ name: String) -> String { Path.join(folder, "id_" + name) }

    func makeKeys(_ names: [String] = ["dana", "rene", "lee", "otto"]) async throws {
        for name in names where !Path.exists(key(name)) {
            try await Institution.ssh(["-q", "-t", "ed25519", "-N", "", "-C", name, "-f", key(name)])
        }
    }

    func publicKey(_ name: String) throws -> String { String(decoding: try File(key(name) + ".pub", .read).readAll(limit: .kib(16)), as: UTF8.self) }

    func sign(_ message: [UInt8], as name: String, namespace: String) async throws -> String {
        let path = Path.join(folder, "message-\(ID())")
        try Durable.create(path, with: message)
        try await Institution.ssh(["-Y", "sign", "-q", "-n", namespace, "-f", key(name), path])
        return String(decoding: try File(path + ".sig", .read).readAll(limit: .kib(16)), as: UTF8.self)
    }

    private static func ssh(_ arguments: [String]) async throws {
        let exit = await (try ChildProcess(.init("/usr/bin/ssh-keygen", arguments, environment: ["PATH": "/usr/bin:/bin"]))).wait()
        guard exit.isSuccess else { throw Fault(.environment, "test.ssh", "ssh-keygen failed: \(exit)") }
    }

    func site() throws -> SiteDescription {
        var persons: [SiteDescription.Person] = []
        for (name, roles) in Institution.people.sorted(by: { $0.key < $1.key }) {
            persons.append(.init(name: name, roles: roles, keys: [try publicKey(name)]))
        }
        return SiteDescription(organisation: "Kontor", appliance: "forge-1", persons: persons)
    }

    /// Signs in, and gives a client that acts as that person.
    func signIn(_ name: String) async throws -> AdminClient { client(try await credential(name)) }

    func credential(_ name: String) async throws -> String {
        let challenge = try await client().challenge()
        let signature = try await sign(challenge.signedMessage(user: name), as: name, namespace: LoginChallenge.namespace)
        return try await client().login(LoginRequest(user: name, challenge: challenge.challenge, signature: signature)).credential
    }

    func vote(_ ballot: AdminAPI.Ballot = .approve, as name: String, on view: ApprovalView, signedBy signer: String? = nil) async throws -> VoteRequest {
        let digest = Digest.sha256(view.document)
        return VoteRequest(
            ballot: ballot, digest: digest, signature: try await sign(ballot.signedMessage(digest), as: signer ?? name, namespace: AdminAPI.Ballot.namespace))
    }

    // MARK: the registry's side of a promotion

    static let content = Digest.sha256("the weights")

    func promotion(by name: String = "rene", content: Digest = Institution.content, heldout: Int64 = 2_100_000, alias: String = "production") -> AccessRequest {
        AccessRequest(
            .user(name), method: .sshsig, uid: ThisProcess.uid, action: "model.promote", resource: EntityID("Forge::Model", "policies@2"), resourceDigest: content,
            attributes: [
                "name": "policies", "version": 2, "trainedBy": ["type": "Forge::User", "id": "dana"], "hasHeldoutReport": true, "heldoutMicrobitsPerByte": .int(heldout),
                "productionMicrobitsPerByte": 2_200_000,
            ], context: ["alias": .string(alias), "door": "registry", "reason": "better on held-out documents"])
    }
}

/// What a call refused with; nil when it did not.
func refusal(_ body: () async throws -> Void) async -> Fault? {
    do {
        try await body()
        return nil
    } catch {
        return error as? Fault
    }
}
