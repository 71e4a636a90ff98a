import AdminAPI
import ForgeArtifact
import ForgeAudit
import ForgeCatalog
import ForgeCore
import ForgeCrypto
import ForgeGate
import ForgeHTTP
import ForgeOS
import ForgeVault
import Logging
import RegistryAPI
import RegistryService
import Synchronization

/// A registry in this process, behind its real sockets, with people, daemons and a rule book of the test's own.
final class StoreFixture: Sendable {
    let directory: String
    /// Everything that holds the ledger, so that a stop lets go of its lock as a process's end does.
    private struct Parts: Sendable {
        let registry: Registry
        let rules: RuleBook
        let server: HTTPServer
        let running: [Task<Void, Never>]
    }
    private let parts: Mutex<Parts?>

    private var open: Parts {
        guard let open = parts.withLock({ $0 }) else { preconditionFailure("a stopped store is not asked") }
        return open
    }

    var registry: Registry { open.registry }
    var rules: RuleBook { open.rules }

    static let passphrase = "correct horse battery staple"

    /// Opens the state directory (a second time too, as a restarted daemon would) and serves it.
    static func open(_ directory: String? = nil, segmentLog2: Int = 16, disk: DiskWatch? = nil) async throws -> StoreFixture {
        let directory = directory ?? "/tmp/forge-store-\(String(describing: ID()).prefix(12))"
        try Durable.makeDirectory(directory)
        let ledger = try await Ledger.open(directory, clock: try .system(), reserve: .mib(1), disk: disk)
        let rules = RuleBook(ledger)
        let store = try await ledger.reader.read { database throws(Fault) in try database.meta("store").flatMap { ID(parsing: $0) } }
        let desk = ApprovalDesk(
            read: { id throws(Fault) in
                guard let view = rules.approval(id) else { throw Fault(.request, "approval.not_found", "there is no such approval") }
                return view
            }, report: { report, id throws(Fault) in rules.told(report, id) })
        let registry = Registry(
            ledger: ledger, vault: Vault(store: store ?? ID()), authority: rules, directory: directory, approvals: desk, segmentLog2: segmentLog2, identify: StoreFixture.identify)
        return try StoreFixture(directory, registry, rules)
    }

    private init(_ directory: String, _ registry: Registry, _ rules: RuleBook) throws {
        self.directory = directory
        var logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        logger.logLevel = .critical
        let server = HTTPServer(door: "registry", routes: registry.routes, logger: logger)
        let listener = try UnixSocket.listen(Path.join(directory, "registry.sock"))
        let weights = try UnixSocket.listen(Path.join(directory, "weights.sock"))
        let door = WeightsDoor(registry)
        let running: [Task<Void, Never>] = [
            Task { try? await server.run(listener: listener) },
            Task { await door.run(listener: weights) },
        ]
        parts = Mutex(Parts(registry: registry, rules: rules, server: server, running: running))
    }

    /// Stops serving; the state directory stays, so that it can be opened again.
    func stop() async {
        guard let parts = parts.withLock({ parts in
            defer { parts = nil }
            return parts
        }) else { return }
        await parts.server.drain(within: .milliseconds(100))
        for task in parts.running { task.cancel() }
        for task in parts.running { await task.value }
    }

    func remove() async {
        await stop()
        try? Path.removeTree(directory)
    }

    /// Bearers stand for callers here: who they are is another target's business.
    private static func identify(_ caller: Caller) async throws(Fault) -> AuditEntry.Subject {
        switch caller.bearer {
        case "trainer": .service(.trainer, method: .handed, uid: caller.uid)
        case "serve": .service(.serve, method: .handed, uid: caller.uid)
        case "admin": .service(.admin, method: .handed, uid: caller.uid)
        case let name? where !name.isEmpty: .init(.user(name), method: .sshsig, uid: caller.uid)
        default: .nobody(uid: caller.uid)
        }
    }

    func client(_ name: String?) -> RegistryClient { RegistryClient(HTTPClient(socket: Path.join(directory, "registry.sock"), bearer: name)) }

    /// Initialised and open.
    @discardableResult
    func initialise() async throws -> StoreInitReply {
        try await client(nil).initialise(StoreInit(organisation: "example", appliance: "one", passphrase: StoreFixture.passphrase, scryptN: 1 << 10))
    }

    // MARK: models

    /// The seven files of a small model; `seed` changes the weights and so the digest.
    static func model(seed: UInt8, dataset: Digest) -> [ModelFile: [UInt8]] {
        [
            .code: CodeRecord(kernelPath: "reference").encoded, .config: Array(#"{"model_type":"mistral"}"#.utf8), .datasets: DatasetsRecord([
                .init(name: "policies", digest: dataset, documents: 3, bytes: 99)
            ]).encoded, .generation: GenerationRecord(chatTemplate: nil, contextLength: 64, endOfText: 0, precision: "f32").encoded, .recipe: Array("steps: \(seed)\n".utf8),
            .tokenizer: Array(#"{"model":{}}"#.utf8), .weights: (0..<200_000).map { UInt8(truncatingIfNeeded: $0 &* 7) ^ seed },
        ]
    }

    /// Uploads and commits as the trainer does.
    func put(_ name: String, seed: UInt8, dataset: Digest, trainedBy: String = "dana") async throws -> ModelView {
        let files = StoreFixture.model(seed: seed, dataset: dataset)
        let upload = try await upload(name, files, as: "trainer")
        return try await client("trainer").commit(upload.id, StoreFixture.commit(files, dataset: dataset, trainedBy: trainedBy))
    }

    /// Everything but the commit.
    func upload(_ name: String, _ files: [ModelFile: [UInt8]], as who: String) async throws -> UploadView {
        let sender = client(who)
        let upload = try await sender.beginUpload(.init(name: name, files: files.map { .init(name: $0.key.rawValue, bytes: Int64($0.value.count), digest: .sha256($0.value)) }))
        for file in upload.files {
            let bytes = files[ModelFile(rawValue: file.name)!]!
            try await sender.send(file, of: upload) { count, offset in Array(bytes[Int(offset)..<Int(offset) + count]) }
        }
        return upload
    }

    static func commit(_ files: [ModelFile: [UInt8]], dataset: Digest, trainedBy: String = "dana") -> CommitRequest {
        CommitRequest(
            run: ID(), trainedBy: trainedBy, seed: 1, kernelPath: "reference", recipe: .sha256(files[.recipe]!), sources: [.init(name: "dataset:policies", digest: dataset)],
            started: 1_795_226_584_000_000, finished: 1_795_226_594_000_000, records: [])
    }

    /// A registered data set of a few documents.
    func dataset(_ documents: [String: String]) async throws -> (digest: Digest, manifest: [UInt8]) {
        let leaves = documents.keys.sorted().map { path -> [UInt8] in
            let text = Digest.sha256(documents[path]!)
            let leaf: JSON = [
                "bytes": .int(Int64(documents[path]!.utf8.count)), "group": .string(text.description), "kind": "text", "path": .string(path), "raw": .string(text.description), "split": "train",
                "text": .string(text.description),
            ]
            return leaf.canonical
        }
        var edge = TreeEdge()
        for leaf in leaves { _ = edge.append(Merkle.leafHash(leaf)) }
        let head: JSON = ["count": .int(Int64(leaves.count)), "format": "forge-dataset/v1", "root": .string(edge.root.description)]
        let manifest = head.canonical + [0x0a] + leaves.flatMap { $0 + [0x0a] }
        _ = try await client("trainer").register(dataset: "policies", manifest: manifest, bytes: 99)
        return (edge.root, manifest)
    }
}

/// Decides what the test says, and puts every decision on record first, as a real authority does.
final class RuleBook: Authority, Sendable {
    private struct State {
        var denied: Set<String> = []
        var seen: [AccessRequest] = []
        var approvals: [ID: ApprovalView] = [:]
        var granted: ID?
        var reports: [(ExecutionReport, ID)] = []
    }

    private let state = Mutex(State())
    private let ledger: Ledger
    init(_ ledger: Ledger) { self.ledger = ledger }

    /// From now on this action is refused.
    func deny(_ action: String) { state.withLock { _ = $0.denied.insert(action) } }
    /// From now on promotions are allowed under this approval.
    func grant(_ view: ApprovalView) { state.withLock { state in (state.approvals[view.id], state.granted) = (view, view.id) } }
    func approval(_ id: ID) -> ApprovalView? { state.withLock { $0.approvals[id] } }
    func told(_ report: ExecutionReport, _ id: ID) { state.withLock { $0.reports.append((report, id)) } }
    var reports: [(report: ExecutionReport, approval: ID)] { state.withLock { $0.reports.map { (report: $0.0, approval: $0.1) } } }
    /// The latest question about that action.
    func asked(_ action: String) -> AccessRequest? { state.withLock { $0.seen.last { $0.action == action } } }

    func decide(_ request: AccessRequest) async throws(Fault) -> Decision {
        let (isDenied, granted) = state.withLock { state in
            state.seen.append(request)
            return (state.denied.contains(request.action), ["model.promote", "model.export"].contains(request.action) ? state.granted : nil)
        }
        guard let action = AuditAction(rawValue: request.action) else { throw Fault(.request, "test.action", "there is no action `\(request.action)`") }
        let verdict = Verdict(
            isDenied ? .deny : .allow, reasons: [PolicyReason(id: isDenied ? "test.deny" : "test.permit", text: "the test says so")], policyDigest: .sha256("rules"), entityEpoch: 1)
        let id = ID()
        let who = AuditEntry.Subject(request.principal, method: request.method, uid: request.uid)
        let entry = AuditEntry.decision(action, verdict, request: id, who: who, object: .init(request.resource, digest: request.resourceDigest))
        return Decision(verdict, record: try await LedgerPort(ledger).append(entry), request: id, approval: granted)
    }
}
