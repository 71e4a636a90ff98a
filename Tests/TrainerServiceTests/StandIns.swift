import FoundationEssentials
import ForgeArtifact
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
import TrainerAPI

@testable import TrainerService

/// A registry in memory: keys by id, a log that counts, uploads that must be whole.
final class StandInRegistry: RegistryPort {
    struct State {
        var isSealed = false
        var keys: [ID: [UInt8]] = [:]
        var entries: [AuditEntry] = []
        var datasets: [DatasetSummary] = []
        var uploads: [ID: (request: UploadRequest, segments: [String: [Int64: [UInt8]]], committed: Bool)] = [:]
        var models: [ModelView] = []
        var commits: [CommitRequest] = []
        /// The next commit is carried out and its answer lost.
        var losesCommit = false
    }
    let state = Mutex(State())
    private let project = ID(), store = ID()
    static let segment: Int64 = 64 << 10

    private func open() throws(Fault) {
        if state.withLock({ $0.isSealed }) { throw Fault(.environment, "registry.sealed", "the registry is sealed", remedy: "unseal it", retryable: true) }
    }

    func append(_ entries: [AuditEntry]) async throws(Fault) -> [AuditIndex] {
        state.withLock { state in
            state.entries += entries
            return ((state.entries.count - entries.count)..<state.entries.count).map { UInt64($0) }
        }
    }

    func releaseKey(_ purpose: KeyRequest.Purpose, _ id: ID) async throws(Fault) -> ReleasedKey {
        try open()
        let bytes = state.withLock { state in
            let key = state.keys[id] ?? Random.bytes(32)
            state.keys[id] = key
            return key
        }
        return ReleasedKey(store: store, project: project, key: SecretBytes(copying: bytes))
    }

    func register(dataset name: String, manifest: [UInt8], bytes: Int64, person: String?) async throws(Fault) -> DatasetSummary {
        let head = try? JSON.parse(manifest.prefix { $0 != 0x0a })
        guard let root = head?["root"]?.string.flatMap({ Digest(parsing: $0) }) else { throw Fault(.request, "data.manifest", "the manifest does not read") }
        return try state.withLock { state throws(Fault) in
            guard !state.datasets.contains(where: { $0.digest == root }) else { throw Fault(.request, "data.exists", "the data set is registered already") }
            let summary = DatasetSummary(digest: root, name: name, documents: head?["count"]?.int ?? 0, bytes: bytes, created: 0, record: 0)
            state.datasets.append(summary)
            return summary
        }
    }

    func models(named name: String) async throws(Fault) -> [ModelView] {
        try open()
        return state.withLock { $0.models.filter { $0.name == name } }
    }

    func evaluate(_ reference: String, _ evaluation: EvaluationRequest) async throws(Fault) -> EvaluationView {
        EvaluationView(
            id: ID(), suite: evaluation.suite, dataset: evaluation.dataset, microbitsPerByte: evaluation.microbitsPerByte, baselineMicrobitsPerByte: evaluation.baselineMicrobitsPerByte, created: 0,
            record: 77)
    }

    func beginUpload(_ request: UploadRequest) async throws(Fault) -> UploadView {
        try open()
        let id = ID()
        state.withLock { $0.uploads[id] = (request, [:], false) }
        return try await upload(id)
    }

    func upload(_ id: ID) async throws(Fault) -> UploadView {
        try state.withLock { state throws(Fault) in
            guard let upload = state.uploads[id] else { throw Fault(.request, "upload.not_found", "there is no such upload") }
            return UploadView(
                id: id, name: upload.request.name, state: upload.committed ? "committed" : "open", segmentBytes: StandInRegistry.segment,
                files: upload.request.files.map { .init(name: $0.name, bytes: $0.bytes, stored: (upload.segments[$0.name] ?? [:]).keys.sorted()) })
        }
    }

    func send(_ file: UploadView.File, of upload: UploadView, read: @escaping @Sendable (Int, Int64) async throws(Fault) -> [UInt8]) async throws(Fault) {
        for index in file.missing(segmentBytes: upload.segmentBytes).joined() {
            try open()
            let offset = index * upload.segmentBytes, bytes = try await read(Int(min(upload.segmentBytes, file.bytes - offset)), offset)
            state.withLock { $0.uploads[upload.id]?.segments[file.name, default: [:]][index] = bytes }
        }
    }

    func commit(_ upload: ID, _ request: CommitRequest) async throws(Fault) -> ModelView {
        try open()
        let (view, lost) = try state.withLock { state throws(Fault) in
            guard let open = state.uploads[upload] else { throw Fault(.request, "upload.not_found", "there is no such upload") }
            var entries: [ModelFiles.Entry] = []
            for file in open.request.files {
                let bytes = (open.segments[file.name] ?? [:]).sorted { $0.key < $1.key }.flatMap(\.value)
                guard Int64(bytes.count) == file.bytes, let digest = file.digest, Digest.sha256(bytes) == digest, let name = ModelFile(rawValue: file.name) else {
                    throw Fault(.request, "upload.incomplete", "`\(file.name)` is not whole")
                }
                entries.append(.init(name, digest, bytes: file.bytes))
            }
            let files = try ModelFiles(entries)
            let view = ModelView(
                name: open.request.name, version: Int64(state.models.count { $0.name == open.request.name } + 1), digest: files.digest, run: request.run.description, trainedBy: request.trainedBy, created: 0,
                record: 5, aliases: [], files: files.entries.map { .init(name: $0.file.rawValue, digest: $0.digest, bytes: $0.bytes) }, evaluations: [])
            state.models.append(view)
            state.commits.append(request)
            state.uploads[upload]?.committed = true
            defer { state.losesCommit = false }
            return (view, state.losesCommit)
        }
        if lost { throw Fault(.environment, "peer.lost", "lost the connection to forge-registry", retryable: true) }
        return view
    }

    /// A file of the only model, as it arrived.
    func file(_ name: String) -> [UInt8] {
        state.withLock { state in
            state.uploads.values.first { $0.committed }?.segments[name].map { $0.sorted { $0.key < $1.key }.flatMap(\.value) } ?? []
        }
    }
}

/// Allows everything but the actions it is told to deny.
struct StandInAuthority: Authority {
    let denied: Set<String>
    func decide(_ request: AccessRequest) async throws(Fault) -> Decision {
        Decision(
            Verdict(denied.contains(request.action) ? .deny : .allow, reasons: [.init(id: "test", text: "a test decides")], policyDigest: .sha256("p"), entityEpoch: 1), record: 3, request: ID())
    }
}

/// A trainer in a directory of its own, behind a real socket.
struct Bench: Sendable {
    let directory: String
    let registry: StandInRegistry
    let trainer: Trainer
    let client: TrainerClient

    /// Next to the test bundle, where the package manager puts all programs.
    static let executable: String = {
        let folder = Path.parent((try? Path.executable()) ?? "")
        let beside = CommandLine.arguments.compactMap { $0.contains(".xctest") ? Path.join(Path.parent($0), "forged") : nil }
        return (beside + [Path.join(folder, "forged")]).first { Path.isExecutable($0) } ?? ""
    }()

    static let isWorkerBuilt = !executable.isEmpty

    /// Runs a trainer with its supervisor until `body` returns; both are then stopped as a daemon stops them.
    static func with<Value: Sendable>(
        _ directory: String? = nil, registry: StandInRegistry = .init(), denied: Set<String> = [], stopsKindly: Bool = true, disk: DiskWatch? = nil, _ body: @Sendable (Bench) async throws -> Value
    ) async throws -> Value {
        let place = directory ?? "/tmp/forge-trainer-\(ID().description.prefix(12))"
        defer { if directory == nil { try? Path.removeTree(place) } }
        try Durable.makeDirectory(Path.join(place, "state"))
        let site = TrainerSite(
            stateDirectory: Path.join(place, "state"), recipesDirectory: Path.join(place, "recipes"), weightsSocket: Path.join(place, "weights.sock"), bearer: nil, executable: executable, threads: 1, disk: disk)
        let myself = KnownCaller(principal: .service(.trainer), method: .handed, uid: 0, roles: [], door: "trainer")
        let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        let trainer = try await Trainer(site: site, registry: registry, gate: Gate(StandInAuthority(denied: denied)), myself: myself, logger: logger) { caller async throws(Fault) in
            KnownCaller(principal: .user("ada"), method: .sshsig, uid: caller.uid, roles: ["data_scientist"], door: caller.door)
        }
        let server = HTTPServer(door: "trainer", routes: trainer.routes, logger: logger)
        let socket = Path.join(place, "t.sock")
        let listener = try UnixSocket.listen(socket)
        let bench = Bench(directory: place, registry: registry, trainer: trainer, client: TrainerClient(HTTPClient(socket: socket, peer: "forged")))
        return try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await server.run(listener: listener) }
            group.addTask { try await trainer.supervisor.run() }
            let result: Result<Value, any Error>
            do { result = .success(try await body(bench)) } catch { result = .failure(error) }
            await server.drain(within: .seconds(1))
            await trainer.supervisor.stop()
            group.cancelAll()
            return try result.get()
        }
    }

    func add(_ name: String, _ files: [(String, [UInt8])], heldOut: Int? = nil, redact: Bool = false) async throws(Fault) -> IngestReply {
        try await client.ingest(name: name, heldOutPermille: heldOut, redact: redact, pieces: Pieces(Bench.stream(files)))
    }

    static func stream(_ files: [(String, [UInt8])]) -> [UInt8] {
        var encoder = IngestEncoder()
        var bytes = encoder.start
        for (path, content) in files { bytes += encoder.document(path, content) ?? encoder.skipped(path, "too large") }
        bytes += encoder.end
        return bytes + Digest.sha256(bytes).bytes
    }

    /// Waits until the run is in one of these states.
    func wait(_ run: ID, for states: Set<RunState>) async throws -> RunView {
        var after = 0
        while true {
            let view = try await client.run(run.description)
            if states.contains(view.state) { return view }
            if view.state.isOver { throw Fault(.environment, "test.over", "the run is \(view.state.rawValue)", why: view.why) }
            let page = try await client.metrics(of: run.description, after: after, wait: .seconds(2))
            after = page.metrics.last?.step ?? after
        }
    }
}

/// A body sent in pieces of odd sizes.
struct Pieces: AsyncSequence, Sendable {
    typealias Element = [UInt8]
    let bytes: [UInt8]
    init(_ bytes: [UInt8]) { self.bytes = bytes }
    struct AsyncIterator: AsyncIteratorProtocol {
        var rest: ArraySlice<UInt8>
        mutating func next() async -> [UInt8]? {
            guard !rest.isEmpty else { return nil }
            let piece = rest.prefix(4093)
            rest = rest.dropFirst(piece.count)
            return Array(piece)
        }
    }
    func makeAsyncIterator() -> AsyncIterator { AsyncIterator(rest: bytes[...]) }
}

enum Prose {
    private static let vocabulary = "permit record audit sealed model token digest policy vote officer registry trainer serve proof leaf root key chunk split group held out train data set page".split(separator: " ")

    static func text(_ seed: UInt64, words: Int = 200) -> [UInt8] {
        var state = seed
        func next() -> UInt64 {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return state >> 33
        }
        return Array((0..<words).map { String(vocabulary[Int(next() % UInt64(vocabulary.count))]) + ($0 % 12 == 11 ? ".\n" : "") }.joined(separator: " ").utf8)
    }

    static func files(_ count: Int) -> [(String, [UInt8])] { (0..<count).map { ("doc/\($0).txt", text(UInt64($0 + 1))) } }
}
