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
import Testing

/// A directory that goes away with the test.
final class Scratch: Sendable {
    let path: String
    init(_ name: String = "registry") throws(Fault) {
        path = Path.join(Environment["TMPDIR"] ?? "/tmp", "forge-\(name)-\(String(describing: ID()).prefix(12))")
        try Durable.makeDirectory(path)
    }
    func file(_ name: String) -> String { Path.join(path, name) }
    deinit { try? Path.removeTree(path) }
}

/// Says yes to everything but what it is told to refuse, and records each decision as the real one does.
final class RecordingAuthority: Authority {
    private let log: any AuditPort
    let refused = Mutex<Set<String>>([])

    init(_ log: any AuditPort) { self.log = log }

    func decide(_ request: AccessRequest) async throws(Fault) -> Decision {
        let isRefused = refused.withLock { $0.contains(request.action) }
        let verdict = Verdict(isRefused ? .deny : .allow, reasons: [.init(id: isRefused ? "test.no" : "test.yes", text: "the test says so")], policyDigest: .sha256("bundle"), entityEpoch: 1)
        let id = ID()
        guard let action = AuditAction(rawValue: request.action) else { preconditionFailure("`\(request.action)` is recorded") }
        let entry = AuditEntry.decision(
            action, verdict, request: id, who: .init(request.principal, method: request.method, uid: request.uid),
            object: .init(request.resource, digest: request.resourceDigest))
        return Decision(verdict, record: try await log.append(entry), request: id)
    }
}

/// The service behind a real socket, with callers who are who their bearer says.
final class Bench: Sendable {
    let registry: Registry
    let ledger: Ledger
    let authority: RecordingAuthority
    private let server: HTTPServer
    private let running: Task<Void, any Error>
    private let signing: Task<Void, Never>
    let socket: String

    static let origin = "bank.example/forge-1/audit"
    static let seed = [UInt8](repeating: 7, count: 32)

    static func key() -> Ed25519.PrivateKey {
        guard let key = Ed25519.PrivateKey(seed: SecretBytes(copying: seed)) else { preconditionFailure("a seed has 32 bytes") }
        return key
    }

    static func signer() -> NoteSigner {
        let key = key()
        guard let name = NoteKey(origin, .ed25519, publicKey: key.publicKey.raw) else { preconditionFailure("an origin is a name") }
        return NoteSigner(name) { key.sign($0) }
    }

    static let redactor = Redactor.open(epoch: 1) { hmacSHA256(key: [1, 2, 3], $0) }

    /// - Parameter sockets: the run directory; the state is elsewhere when that is small.
    init(state: String, sockets: String, reserve: ByteCount = .mib(4), clock: LogClock? = nil, disk: DiskWatch? = nil) async throws {
        let clock = if let clock { clock } else { try LogClock.system() }
        ledger = try await Ledger.open(state, clock: clock, reserve: reserve, disk: disk)
        authority = RecordingAuthority(LedgerPort(ledger))
        registry = Registry(ledger: ledger, vault: Vault(store: ID()), authority: authority, directory: state, segmentLog2: 16) { caller throws(Fault) in
            switch caller.bearer {
            case "admin", "trainer", "serve", "registry":
                guard let name = DaemonName(rawValue: caller.bearer ?? "") else { return .nobody(uid: caller.uid) }
                return .service(name, method: .handed, uid: caller.uid)
            case let name?: return .init(.user(name), method: .sshsig, uid: caller.uid, roles: ["security_officer"])
            case nil: return .nobody(uid: caller.uid)
            }
        }
        var logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        logger.logLevel = .critical
        socket = Path.join(sockets, "registry.sock")
        let server = HTTPServer(door: "registry", routes: registry.routes, logger: logger)
        self.server = server
        let listener = try UnixSocket.listen(socket)
        running = Task { try await server.run(listener: listener) }
        signing = Task { [registry] in await registry.run() }
    }

    func stop() async throws {
        signing.cancel()
        await server.drain(within: .seconds(1))
        try await running.value
        _ = await signing.value
    }

    func client(_ bearer: String?) -> RegistryClient { RegistryClient(HTTPClient(socket: socket, bearer: bearer, peer: "forge-registry")) }

    /// What stands where the key slots do: their bytes mean nothing here, their digest is on record.
    static let slots = Array("the key slots\n".utf8)

    func found() async throws {
        let signer = Bench.signer()
        try Durable.replace(Path.join(ledger.directory, "keyslots.json"), with: Bench.slots)
        try await ledger.initialise(
            store: registry.vault.store, key: signer.key, signer: signer, redactor: Bench.redactor, by: .init(.user("olga"), method: .sshsig, uid: 1000),
            data: ["keyslots": .string(Digest.sha256(Bench.slots).description)]
        ) { _, _ in }
    }

    static func with<R>(_ scratch: Scratch, clock: LogClock? = nil, found: Bool = true, _ body: (Bench) async throws -> R) async throws -> R {
        let bench = try await Bench(state: scratch.file("state"), sockets: scratch.path, clock: clock)
        do {
            if try await !bench.ledger.isInitialised, found { try await bench.found() } else if found { try await bench.ledger.open(Bench.signer(), Bench.redactor) }
            let result = try await body(bench)
            try await bench.stop()
            return result
        } catch {
            try? await bench.stop()
            throw error
        }
    }
}

let dana = AuditEntry.Subject(.user("dana"), method: .sshsig, uid: 1000, roles: ["data_scientist"])
let yes = AuditEntry.Policy(digest: .sha256("bundle"), epoch: 1, rules: ["test.yes"])

/// An intent and its outcome, as a daemon writes them.
func infer(_ receipt: ID = ID()) -> [AuditEntry] {
    let id = ID()
    let object = AuditEntry.Object("Forge::Model", "policies", version: "1", digest: .sha256("model"))
    return [
        AuditEntry(.infer, .intent, request: id, who: dana, object: object, decision: .allow, policy: yes, why: "a question"),
        AuditEntry(.infer, .outcome, request: id, who: dana, object: object, outcome: .ok, data: ["receipt": .string(receipt.description), "prompt_tokens": 12, "completion_tokens": 30, "note": "hidden"]),
    ]
}

/// Programs that were built beside these tests.
enum Built {
    static let directory = Path.parent((try? Path.executable()) ?? "")
    static func path(_ name: String) -> String { Path.join(directory, name) }

    struct Result: Sendable {
        let code: Int32
        let output: String
    }

    /// Runs a program to its end.
    static func run(_ executable: String, _ arguments: [String]) async throws -> Result {
        let scratch = try Scratch("run")
        let out = try File(scratch.file("out"), .replace)
        let child = try ChildProcess(.init(executable, arguments, environment: ["PATH": "/usr/bin:/bin"], descriptors: [1: out.descriptor, 2: out.descriptor]))
        let exit = await child.wait()
        let text = String(decoding: try File(scratch.file("out"), .read).readAll(limit: .mib(1)), as: UTF8.self)
        guard case .code(let code) = exit else { return Result(code: -1, output: text) }
        return Result(code: code, output: text)
    }

    static func verify(_ arguments: String...) async throws -> Result { try await run(path("forge-verify"), arguments) }
}

/// A copy of a state directory, as an auditor takes one.
func copy(_ directory: String, to target: String) throws {
    try Durable.makeDirectory(target)
    for name in try Path.list(directory) where name != "registry.lock" && name != "reserve" {
        let (from, to) = (Path.join(directory, name), Path.join(target, name))
        if try Path.information(from)?.kind == .directory { try copy(from, to: to) } else if !name.hasSuffix("-shm") { try Durable.replace(to, with: try File(from, .read).readAll(limit: .gib(1))) }
    }
}
