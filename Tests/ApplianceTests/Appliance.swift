import ForgeCore
import ForgeHTTP
import ForgeOS
import Glibc
import Synchronization
import Testing

/// A whole appliance in a scratch directory: the real daemons under the real `forge up`, driven by the real `forge`.
///
/// What it makes is undone last-in first-out. When a test fails, the directory stays, and the failure says where.
final class Appliance: Sendable {
    /// Where the programs were built: beside the test itself, unless FORGE_PROGRAMS says otherwise.
    static let programs: String = Environment["FORGE_PROGRAMS"] ?? (try? Path.parent(Path.executable())) ?? "."
    static let names = ["forge", "forged", "forge-registry", "forge-serve", "forge-admin", "forge-verify"]
    static var isBuilt: Bool { names.allSatisfy { Path.isExecutable(Path.join(programs, $0)) } }

    /// `DIR/site` is the appliance's root; keys, sessions and outputs of people lie beside it, as on a real machine.
    let directory: String
    var root: String { Path.join(directory, "site") }
    private let up = Mutex<ChildProcess?>(nil)
    /// What commands said is on record, to be looked for when the day is over.
    let acknowledged = Mutex<[Acknowledged]>([])

    private init() throws {
        directory = Path.join(Environment["TMPDIR"] ?? "/tmp", "forge-appliance-\(String(describing: ID()).prefix(12))")
        try Durable.makeDirectory(directory, mode: 0o755)
        try Durable.makeDirectory(Path.join(directory, "people"), mode: 0o700)
    }

    /// A directory without a running appliance.
    static func empty<R>(_ body: (Appliance) async throws -> R) async throws -> R {
        let site = try Appliance()
        do {
            let result = try await body(site)
            await site.stop()
            try Path.removeTree(site.directory)
            return result
        } catch {
            await site.stop()
            Issue.record("the directory is kept: \(site.directory)\n\(site.lastWords())")
            throw error
        }
    }

    /// A running appliance.
    static func running<R>(_ body: (Appliance) async throws -> R) async throws -> R {
        try await empty { site in
            try await site.start()
            return try await body(site)
        }
    }

    // MARK: forge up

    /// Starts `forge up` and waits for its line `ready`.
    @discardableResult
    func start() async throws -> ChildProcess {
        let log = try File(path("up.log"), .replace)
        var request = ChildProcess.Request(
            Path.join(Appliance.programs, "forge"), ["up", "--root", root, "--log-level", "debug"], environment: Appliance.environment,
            descriptors: [1: log.descriptor, 2: log.descriptor])
        request.directory = directory
        request.newSession = true
        request.parentDeathSignal = SIGKILL
        let child = try ChildProcess(request)
        up.withLock { $0 = child }
        let ready = await eventually(within: .seconds(90)) { child.exit != nil || ((try? self.upLog()) ?? "").split(separator: "\n").contains("ready") }
        try #require(ready && child.exit == nil, "forge up did not become ready:\n\(lastWords())")
        return child
    }

    func upLog() throws -> String { text(try File(path("up.log"), .read).readAll(limit: .mib(1))) }

    /// Asks it to stop, as Ctrl-C does, and waits.
    @discardableResult
    func stop(with signal: Int32 = SIGTERM) async -> ChildProcess.Exit? {
        guard let child = up.withLock({ $0 }) else { return nil }
        if let exit = child.exit { return exit }
        child.signal(signal)
        let ended = await eventually(within: .seconds(60)) { child.exit != nil }
        if !ended { child.signal(SIGKILL) }
        return await child.wait()
    }

    // MARK: the command line

    struct Said: Sendable {
        let code: Int32
        let out: String
        let err: String
        var json: JSON? { try? JSON.parse(out) }
    }

    /// Runs `forge` to its end, as a person with a sign-in of her own when one is named.
    func forge(_ arguments: String..., as person: String? = nil, root: String? = nil) async throws -> Said {
        try await forge(arguments, as: person, root: root)
    }

    func forge(_ arguments: [String], as person: String? = nil, root: String? = nil) async throws -> Said {
        let place = ["FORGE_ROOT": root ?? self.root, "FORGE_SESSION": path("people/\(person ?? "nobody").session")]
        let said = try await call(Path.join(Appliance.programs, "forge"), arguments, place)
        note(said)
        return said
    }

    /// Runs any program to its end.
    func call(_ program: String, _ arguments: [String], _ more: [String: String] = [:]) async throws -> Said {
        let out = try Memfd("out", size: 0), err = try Memfd("err", size: 0)
        var request = ChildProcess.Request(
            program, arguments, environment: Appliance.environment.merging(more) { $1 }, descriptors: [1: out.descriptor, 2: err.descriptor])
        request.directory = directory
        request.parentDeathSignal = SIGKILL
        let exit = try await ChildProcess(request).wait()
        guard case .code(let code) = exit else { throw Fault(.environment, "test.call", "\(program) \(arguments.joined(separator: " ")) ended with \(exit)") }
        return Said(code: code, out: try Appliance.all(out), err: try Appliance.all(err))
    }

    static let people = [("dana", "data_scientist"), ("rene", "release_manager"), ("mila", "ml_lead"), ("otto", "security_officer"), ("oda", "operator")]

    /// Enrols five people with fresh SSH keys, makes the store's keys, and signs everybody in.
    func enrol() async throws {
        var persons = ""
        for (name, role) in Appliance.people {
            let made = try await call("/usr/bin/ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-C", name, "-f", path("people/\(name)")])
            try #require(made.code == 0, "ssh-keygen: \(made.err)")
            persons += "  - name: \(name)\n    roles: [\(role)]\n    key_files: [\(name).pub]\n"
        }
        try Durable.replace(path("people/passphrase"), with: Array("correct horse battery staple\n".utf8))
        let file = "organisation: kontor-nord\nappliance: forge-1\nstore:\n  passphrase_file: passphrase\n  recovery_file: recovery.key\npersons:\n\(persons)"
        try Durable.replace(path("people/site.yaml"), with: Array(file.utf8))
        let made = try await forge("init", "--file", path("people/site.yaml"))
        try #require(made.code == 0, "forge init: \(made.err)\n\(lastWords())")
        // What the officer writes down on paper.
        let key = try #require((made.out + made.err).split(separator: "\n").first { $0.hasPrefix("audit log ") }?.split(separator: " ").last)
        try Durable.replace(path("people/log.vkey"), with: Array("\(key)\n".utf8))
        try await signIn()
    }

    func signIn() async throws {
        for (name, _) in Appliance.people {
            let said = try await forge("login", name, "--key", path("people/\(name)"), as: name)
            try #require(said.code == 0, "forge login \(name): \(said.err)\n\(lastWords())")
        }
    }

    func unseal() async throws {
        let said = try await forge("unseal", "--file", path("people/passphrase"), as: "otto")
        try #require(said.code == 0, "forge unseal: \(said.err)\n\(lastWords())")
    }

    // MARK: the daemons

    func path(_ name: String) -> String { Path.join(directory, name) }
    func socket(_ door: String) -> String { Path.join(root, "run/\(door).sock") }

    /// Without a sign-in, unless a bearer is given.
    func client(_ door: String, bearer: String? = nil) -> HTTPClient { HTTPClient(socket: socket(door), bearer: bearer, timeout: .seconds(10)) }

    func answers(_ door: String) async -> Bool { (try? await client(door).raw(.get, "/readyz").status) == 200 }

    /// The process behind a door, as the kernel knows it.
    func pid(_ door: String) throws -> Int32 {
        let descriptor = try UnixSocket.connectBlocking(socket(door))
        defer { UnixSocket.close(descriptor) }
        return Int32(bitPattern: try PeerCredentials(ofSocket: descriptor).pid)
    }

    /// The daemon behind a door is gone, and stays gone while `body` runs: its supervisor is halted meanwhile, so that nothing starts it again.
    func without(_ door: String, _ body: () async throws -> Void) async throws {
        let child = try #require(up.withLock { $0 })
        let gone = try pid(door)
        child.signal(SIGSTOP)
        defer { child.signal(SIGCONT) }
        kill(gone, SIGKILL)
        try #require(await eventually { (try? self.pid(door)) == nil }, "\(door) still answers")
        try await body()
    }

    private static var environment: [String: String] {
        var out = ["PATH": "/usr/bin:/bin", "HOME": "/nonexistent", "LANG": "C.UTF-8"]
        for name in ["TMPDIR", "SWIFT_BACKTRACE", "FORGE_THREADS"] { if let value = Environment[name] { out[name] = value } }
        return out
    }

    private static func all(_ memory: borrowing Memfd) throws -> String {
        let file = File(adopting: dup(memory.descriptor), path: "output")
        return text(try file.readAll(limit: .mib(16)))
    }

    /// The end of everything that was said, for a failure's message.
    func lastWords() -> String {
        var out = ""
        for name in ["up.log", "site/log/registry.log", "site/log/admin.log", "site/log/trainer.log", "site/log/serve.log"] {
            guard let bytes = try? File(path(name), .read).readAll(limit: .mib(16)), !bytes.isEmpty else { continue }
            out += "--- \(name)\n" + text(bytes).split(separator: "\n").suffix(8).joined(separator: "\n") + "\n"
        }
        return out
    }
}

func text(_ bytes: [UInt8]) -> String { String(decoding: bytes, as: UTF8.self) }

/// A condition that must come true in time; polling is bounded, so a failure is a failure and never a hang.
func eventually(within time: Duration = .seconds(20), every pause: Duration = .milliseconds(50), _ condition: () async -> Bool) async -> Bool {
    let end = ContinuousClock.now + time
    while ContinuousClock.now < end {
        if await condition() { return true }
        guard (try? await Task.sleep(for: pause)) != nil else { return false }
    }
    return await condition()
}
