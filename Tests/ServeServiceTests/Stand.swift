import ForgeArtifact
import ForgeAudit
import ForgeAuthority
import ForgeCore
import ForgeCrypto
import ForgeGate
import ForgeHTTP
import ForgeInference
import ForgeModel
import ForgeOS
import ForgeTensor
import ForgeTokenizer
import Logging
import RegistryAPI
import ServeAPI
import ServeService
import Synchronization

let quiet: Logger = {
    var logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
    logger.logLevel = .critical
    return logger
}()

/// The files of a small model with random weights.
enum TinyModel {
    static let tokenizer: Tokenizer = {
        do {
            var trainer = try BPETrainer(vocabularyCount: 320)
            for text in ["the cat sat on the mat and the dog sat on the cat", "policies and procedures of the institution, policies of the house"] {
                trainer.add(Array(text.utf8))
            }
            return try trainer.train()
        } catch { preconditionFailure("the sample text makes a tokenizer: \(error)") }
    }()

    static let config = MistralConfig(vocabulary: 330, width: 32, feedForward: 64, layers: 2, queryHeads: 4, kvHeads: 2, headDim: 8, contextMax: 160, bos: 1, eos: 2)

    static func files(seed: UInt64 = 1, chatTemplate: String? = "mistral-v3-tekken", template: String? = nil) throws -> [ModelFile: [UInt8]] {
        let device = try Device(.best, threads: 1)
        let parameters = try Parameters(ParameterTable(config), on: device)
        parameters.initialise(seed: seed, embeddingDeviation: 0.5)
        let table = TensorTable(laying: parameters.table.entries.map { ($0.name, .f32, $0.shape) })
        var weights = table.headerBytes
        for entry in table.entries { weights += parameters.tensor(entry.name).bytes() }
        return [
            .config: Array(config.json.text.utf8), .weights: weights, .tokenizer: tokenizer.json,
            .generation: GenerationRecord(chatTemplate: chatTemplate, template: template, contextLength: config.contextMax, endOfText: 2, precision: "f32").encoded, .recipe: Array("name: tiny\n".utf8),
            .datasets: DatasetsRecord([]).encoded, .code: CodeRecord(kernelPath: "x86-v1").encoded,
        ]
    }

    static func digest(_ files: [ModelFile: [UInt8]]) throws -> Digest {
        try ModelFiles(files.map { .init($0.key, .sha256($0.value), bytes: Int64($0.value.count)) }).digest
    }

    static func memory(_ bytes: [UInt8], _ name: String) throws -> SealedMapping {
        let memory = try Memfd(name, size: bytes.count)
        try memory.fill(bytes, at: 0)
        try memory.seal()
        return try memory.map()
    }
}

/// A lease a test can end.
final class TestLease: Lease {
    private let state = Mutex<(reason: String?, waiting: [CheckedContinuation<String, Never>])>((nil, []))
    let isClosed = Mutex(false)

    func end(_ word: String) {
        let waiting = state.withLock { state in
            state.reason = word
            defer { state.waiting = [] }
            return state.waiting
        }
        for continuation in waiting { continuation.resume(returning: word) }
    }

    func ended() async -> String {
        await withCheckedContinuation { continuation in
            let reason = state.withLock { state in
                if state.reason == nil { state.waiting.append(continuation) }
                return state.reason
            }
            if let reason { continuation.resume(returning: reason) }
        }
    }

    func close() {
        isClosed.withLock { $0 = true }
        end("closed")
    }
}

/// The registry's part: models by reference, and aliases that move.
final class TestRegistry: ModelSource {
    struct State {
        var models: [String: [ModelFile: [UInt8]]] = [:]
        var aliases: [String: String] = [:]
        var leases: [TestLease] = []
        var mark: UInt64? = 1
    }
    let state = Mutex(State())

    func add(_ version: String, _ files: [ModelFile: [UInt8]]) { state.withLock { $0.models[version] = files } }

    func point(_ alias: String, at version: String) {
        state.withLock { state in
            state.aliases[alias] = version
            state.mark = (state.mark ?? 0) + 1
        }
    }

    var lease: TestLease? { state.withLock { $0.leases.last } }

    private func version(_ reference: String) -> String { state.withLock { $0.aliases[reference] ?? reference } }

    func obtain(_ reference: String) async throws(Fault) -> HandedModel {
        let version = version(reference)
        guard let files = state.withLock({ $0.models[version] }) else { throw Fault(.request, "model.not_found", "there is no model `\(reference)`") }
        let lease = TestLease()
        state.withLock { $0.leases.append(lease) }
        do {
            let parts = version.split(separator: "@")
            var mappings: [ModelFile: SealedMapping] = [:]
            for (file, bytes) in files { mappings[file] = try TinyModel.memory(bytes, file.rawValue) }
            return HandedModel(
                reference: reference, name: String(parts[0]), version: Int(parts[1]) ?? 0, digest: try TinyModel.digest(files),
                alias: reference == version ? nil : String(reference.split(separator: "@")[1]), files: mappings, lease: lease)
        } catch { throw Fault(.environment, "test.memory", "\(error)") }
    }

    func resolve(_ reference: String) async throws(Fault) -> Digest? {
        let version = version(reference)
        guard let files = state.withLock({ $0.models[version] }) else { return nil }
        return try? TinyModel.digest(files)
    }

    func promoted() async throws(Fault) -> String? { state.withLock { $0.aliases.keys.sorted().first { $0.hasSuffix("@production") } } }
    func mark() async throws(Fault) -> UInt64? { state.withLock { $0.mark } }
}

/// The log, in memory, with the strictness of the real one.
final class TestLog: AuditPort {
    struct State {
        var entries: [AuditEntry] = []
        /// Records that still fit.
        var room = Int.max
        var calls = 0
    }
    let state = Mutex(State())
    private let signingKey = Ed25519.PrivateKey()

    func append(_ entries: [AuditEntry]) async throws(Fault) -> [AuditIndex] {
        for entry in entries { _ = try TestLog.record(entry) }
        let first = state.withLock { state -> Int? in
            state.calls += 1
            guard state.room >= entries.count else { return nil }
            state.room -= entries.count
            defer { state.entries += entries }
            return state.entries.count
        }
        guard let first else { throw Fault(.environment, "audit.unavailable", "the record could not be kept", retryable: true) }
        return entries.indices.map { UInt64(first + $0) }
    }

    /// Takes this many records more, and then none.
    func fill(after count: Int) { state.withLock { $0.room = count } }
    var entries: [AuditEntry] { state.withLock { $0.entries } }
    func outcomes(_ action: AuditAction) -> [AuditEntry] { entries.filter { $0.action == action && $0.phase == .outcome } }

    static func record(_ entry: AuditEntry, index: UInt64 = 0) throws(Fault) -> AuditRecord {
        try AuditRecord(
            entry,
            stamp: LeafStamp(
                index: index, time: 1, boottime: 1, boot: ID(Array(repeating: 1, count: 16))!, clock: .init(isSynchronised: true, errorMax: 1, source: "kernel"),
                service: .init(.serve, pid: 1, uid: 1)), redactor: .sealed, detail: entry.detail.map { Digest.sha256($0) })
    }

    var key: NoteKey { NoteKey("test/serve/audit", .ed25519, publicKey: signingKey.publicKey.raw)! }

    /// The proof of one record, as if it were alone in the log.
    func proof(of entry: AuditEntry) throws -> String {
        let leaf = try TestLog.record(entry).bytes
        let head = TreeHead(origin: key.name, size: 1, root: Merkle.leafHash(leaf))
        let key = signingKey
        return LogProof(leaf: leaf, index: 0, hashes: [], checkpoint: head.signed(by: NoteSigner(self.key) { key.sign($0) })).description
    }
}

/// Decides by principal, and records as the real one does.
struct TestAuthority: Authority {
    let log: TestLog

    func decide(_ request: AccessRequest) async throws(Fault) -> Decision {
        guard let action = AuditAction(rawValue: request.action) else { throw Fault(.denied, "policy.unknown_action", "cannot decide") }
        let isAllowed = request.principal != .app("barred")
        let verdict = Verdict(
            isAllowed ? .allow : .deny, reasons: [PolicyReason(id: isAllowed ? "app.ask" : "guard.barred", text: "as the test says")], policyDigest: .sha256("policy"), entityEpoch: 1)
        let id = ID()
        let record = try await log.append(DaemonAuthority.entry(action, verdict, of: request, id: id, roles: []))
        return Decision(verdict, record: record, request: id)
    }
}

/// Both doors of a server over a tiny model, on real sockets in a scratch directory.
struct Stand: Sendable {
    let directory: String
    let log: TestLog
    let registry: TestRegistry
    let house: ModelHouse
    let metrics: ServeMetrics

    func http(_ door: String = "serve", bearer: String? = "forge_app_crm") -> HTTPClient { HTTPClient(socket: Path.join(directory, "\(door).sock"), bearer: bearer, timeout: .seconds(60)) }
    var client: ServeClient { ServeClient(http()) }
    var operatorClient: ServeClient { ServeClient(http("serve-operator", bearer: "forge_ses_pat")) }

    func post(_ path: String, _ body: JSON, bearer: String? = "forge_app_crm") async throws -> (status: Int, headers: Headers, json: JSON) {
        let reply = try await http(bearer: bearer).raw(.post, path, headers: ["content-type": "application/json"], body: .bytes(Array(body.text.utf8)))
        return (reply.status, reply.headers, try JSON.parse(reply.body))
    }
}

func withStand<R>(
    load: String? = "policies@production", chatTemplate: String? = "mistral-v3-tekken", template: String? = nil, settings: EngineSettings = .init(threads: 1, tokensPerStep: 64), _ body: (Stand) async throws -> R
) async throws -> R {
    let directory = Path.join(Environment["TMPDIR"] ?? "/tmp", "forge-serve-\(String(describing: ID()).prefix(12))")
    try Durable.makeDirectory(directory)
    defer { try? Path.removeTree(directory) }
    let log = TestLog(), registry = TestRegistry(), metrics = ServeMetrics()
    registry.add("policies@1", try TinyModel.files(seed: 1, chatTemplate: chatTemplate, template: template))
    registry.point("policies@production", at: "policies@1")
    let house = ModelHouse(source: registry, settings: settings)
    let ports = ServePorts(
        identify: { caller throws(Fault) in
            guard let bearer = caller.bearer else { throw Fault(.unauthenticated, "auth.unknown", "cannot tell who is asking", remedy: "send a key") }
            let name = String(bearer.split(separator: "_").last ?? "")
            let isPerson = bearer.hasPrefix("forge_ses_")
            return KnownCaller(
                principal: isPerson ? .user(name) : .app(name), method: isPerson ? .sshsig : .apikey, uid: caller.uid, roles: [], door: caller.door)
        }, gate: Gate(TestAuthority(log: log)), log: log, models: registry, logKey: { () throws(Fault) in log.key })
    let routes = ServeRoutes(ports, house: house, metrics: metrics)
    let app = HTTPServer(door: ServeRoutes.appDoor, routes: routes.app, logger: quiet) { OpenAIError.body($0, $1) }
    let operators = HTTPServer(door: ServeRoutes.operatorDoor, routes: routes.operators, logger: quiet)
    let running = [
        try serve(app, Path.join(directory, "serve.sock")), try serve(operators, Path.join(directory, "serve-operator.sock")),
    ]
    let result: Result<R, any Error>
    do {
        if let load { _ = try await house.load(load) }
        result = .success(try await body(Stand(directory: directory, log: log, registry: registry, house: house, metrics: metrics)))
    } catch { result = .failure(error) }
    await house.drain(within: .milliseconds(200))
    for server in [app, operators] { await server.drain(within: .milliseconds(200)) }
    for task in running { try await task.value }
    return try result.get()
}

private func serve(_ server: HTTPServer, _ path: String) throws -> Task<Void, any Error> {
    let listener = try UnixSocket.listen(path)
    return Task { try await server.run(listener: listener) }
}
