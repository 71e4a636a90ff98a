import ForgeConfig
import ForgeCore
import ForgeDaemon
import ForgeGate
import ForgeHTTP
import ForgeOS
import Glibc
import Logging
import Synchronization
import Testing

final class Scratch: Sendable {
    let path: String
    init() throws {
        path = Path.join("/tmp", "forge-daemon-\(String(describing: ID()).prefix(12))")
        try Durable.makeDirectory(path)
    }
    deinit { try? Path.removeTree(path) }
    subscript(name: String) -> String { Path.join(path, name) }
}

private let quiet = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

/// Notes when it starts and stops.
private final class Part: Service, Sendable {
    let name: String
    private let order: Order
    private let (end, ending) = AsyncStream.makeStream(of: Void.self)
    private let fails: Bool

    init(_ name: String, _ order: Order, fails: Bool = false) {
        self.name = name
        self.order = order
        self.fails = fails
    }

    func run() async throws {
        if fails { throw Fault(.environment, "test.failed", "the disk is gone") }
        for await _ in end {}
    }

    func stop() async {
        order.note(name)
        ending.finish()
    }
}

private final class Order: Sendable {
    private let state = Mutex<[String]>([])
    func note(_ name: String) { state.withLock { $0.append(name) } }
    var all: [String] { state.withLock { $0 } }
}

@Suite struct LifecycleTests {
    private func context(_ scratch: Scratch) -> DaemonContext {
        DaemonContext(name: .registry, stateDirectory: scratch["state"], runDirectory: scratch.path, logger: quiet)
    }

    private func isReady(_ scratch: Scratch) async -> HTTPClient.Reply? {
        let client = HTTPClient(socket: scratch["registry.sock"])
        for _ in 0..<500 {
            if let reply = try? await client.raw(.get, "/readyz"), reply.status == 200 { return reply }
            try? await Task.sleep(for: .milliseconds(10))
        }
        return nil
    }

    @Test func `a daemon is ready when its doors accept, says in which state, and stops in reverse order`() async throws {
        let scratch = try Scratch(), order = Order()
        let (signals, signal) = AsyncStream.makeStream(of: Int32.self)
        let sealed = (["sealed": true] as JSON).object ?? .init()
        let plan = DaemonPlan(
            doors: [.init("registry", mode: 0o660, routes: [Route(.get, "/v1/status") { _ in .text("fine") }]), .init("other", routes: [])],
            services: [Part("a", order), Part("b", order), Part("c", order)], facts: { sealed })
        let life = Lifecycle(context(scratch), plan)
        let running = Task { try await life.run(until: signals) }
        let reply = try #require(await isReady(scratch))
        let body = try JSON.parse(reply.body)
        #expect(body["sealed"] == true)
        #expect(body["daemon"] == "registry")
        #expect(body["status"] == "ready")
        #expect(try Path.information(scratch["registry.sock"])?.mode == 0o660)
        #expect(try await HTTPClient(socket: scratch["other.sock"]).raw(.get, "/healthz").status == 200)
        signal.yield(SIGTERM)
        try await running.result.get()
        #expect(order.all == ["c", "b", "a"])
    }

    @Test func `a part that fails stops the daemon and is its failure`() async throws {
        let scratch = try Scratch(), order = Order()
        let (signals, signal) = AsyncStream.makeStream(of: Int32.self)
        defer { signal.finish() }
        let plan = DaemonPlan(doors: [.init("registry", routes: [])], services: [Part("a", order), Part("b", order, fails: true)])
        let life = Lifecycle(context(scratch), plan)
        let fault = await #expect(throws: Fault.self) { try await life.run(until: signals) }
        #expect(fault?.code == "test.failed")
        #expect(order.all == ["b", "a"])
    }

    @Test func `a door that is in use stops the start with a reason`() async throws {
        let scratch = try Scratch()
        let holder = try UnixSocket.listen(scratch["registry.sock"])
        defer { UnixSocket.close(holder) }
        let life = Lifecycle(context(scratch), DaemonPlan(doors: [.init("registry", routes: [])]))
        let fault = await #expect(throws: Fault.self) { try await life.run(until: AsyncStream { _ in }) }
        #expect(fault?.code == "os.in_use")
    }
}

@Suite struct OptionTests {
    @Test func `flags are read in both spellings`() throws {
        let outcome = try DaemonOptions.parse(["--state", "/s", "--run=/r", "--handoff-fd", "5", "--log-level=debug", "--config", "/c"], program: "forged")
        guard case .run(let options) = outcome else { return #expect(Bool(false), "not a run") }
        #expect((options.state, options.run, options.handoff, options.logLevel, options.configuration) == ("/s", "/r", 5, .debug, "/c"))
    }

    @Test(arguments: [["--stat", "/s"], ["--state"], ["--handoff-fd", "1"], ["--handoff-fd", "x"], ["--log-level", "loud"], ["word"], ["--run="]])
    func `a wrong flag is refused with a hint`(arguments: [String]) {
        let fault = #expect(throws: Fault.self) { _ = try DaemonOptions.parse(arguments, program: "forged") }
        #expect(fault?.code == "daemon.usage")
        #expect(fault?.remedy == "`forged --help` lists the options")
    }

    @Test func `a configuration has common keys and a section for each daemon`() throws {
        let text = "log_level: debug\nrun: /r\nregistry:\n  fsync: true\n"
        let configuration = try Configuration.parse(Array(text.utf8), source: "forge.yaml")
        var section = try configuration.section(.registry)
        #expect(try section.optionalBool("fsync") == true)
        try section.finish()
        try configuration.section(.admin).finish()
        var unread = try configuration.section(.registry)
        _ = try unread.optionalBool("other")
        #expect(throws: Fault.self) { try unread.finish() }
    }

    @Test(arguments: ["", "\n", "# registry:\n#   fsync: true\n", "---\n", "{}", "null", "~", "registry:\nadmin: ~\n"])
    func `a configuration that says nothing is the built-in one`(text: String) throws {
        let configuration = try Configuration.parse(Array(text.utf8), source: "forge.yaml")
        var section = try configuration.section(.registry)
        #expect(try section.optionalBool("fsync") == nil)
        try section.finish()
    }

    @Test(arguments: ["loglevel: debug", "log_level: loud", "registry: 3", "- a", "log_level: debug\nlog_level: info"])
    func `a wrong configuration says where`(text: String) throws {
        let fault = #expect(throws: Fault.self) {
            let configuration = try Configuration.parse(Array(text.utf8), source: "forge.yaml")
            _ = try configuration.section(.registry)
        }
        #expect(fault?.message.contains("line ") == true, "\(fault?.message ?? "")")
    }
}

@Suite struct LogTests {
    private func line(level: Logger.Level = .info, journal: Bool = false, _ message: Logger.Message, _ metadata: Logger.Metadata = [:]) -> String {
        let box = Box()
        var logger = Logger(label: "forge-registry") { label in LogLine(label: label, level: .info, forJournal: journal) { box.add($0) } }
        logger[metadataKey: "boot"] = "b"
        logger.log(level: level, message, metadata: metadata)
        return box.text
    }

    private final class Box: Sendable {
        private let state = Mutex("")
        func add(_ text: String) { state.withLock { $0 += text } }
        var text: String { state.withLock { $0 } }
    }

    @Test func `a line has time, level, label, message and sorted fields, quoted where needed`() {
        let text = line("stored", ["size": "7", "name": "a b"])
        #expect(text.hasSuffix("Z info forge-registry: stored boot=b name=\"a b\" size=7\n"))
        #expect(line(level: .warning, journal: true, "slow") == "<4>slow boot=b\n")
        #expect(line(level: .debug, "hidden").isEmpty)
    }

    @Test func `nobody writes a second line, and a credential never gets in`() {
        #expect(line(journal: true, "a\nforged line", ["x": "b\u{1b}[31m"]) == "<6>a\\u{a}forged line boot=b x=b\\u{1b}[31m\n")
        let text = line(journal: true, "got forge_ses_abcDEF123-_x from", ["bearer": "forge_app_0123", "peer": "forge_peer_zz", "name": "forge_registry"])
        #expect(!text.contains("abcDEF") && !text.contains("0123") && !text.contains("zz"))
        #expect(text == "<6>got forge_ses_… from bearer=forge_app_… boot=b name=forge_registry peer=forge_peer_…\n")
    }

    @Test func `a handoff shows nothing of its credential`() {
        let handoff = Handoff(name: .admin, credential: "forge_peer_secret", peers: [])
        var dumped = ""
        dump(handoff, to: &dumped)
        #expect(!"\(handoff)\(String(reflecting: handoff))\(dumped)".contains("secret"))
    }
}
