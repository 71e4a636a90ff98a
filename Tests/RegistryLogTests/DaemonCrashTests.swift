import ForgeAudit
import ForgeCore
import ForgeCrypto
import ForgeGate
import ForgeHTTP
import ForgeOS
import Glibc
import RegistryAPI
import Testing

/// The real `forge-registry`, started as `forge up` starts it, perhaps under strace.
final class DaemonProcess: Sendable {
    static let credential = "forge_peer_" + String(repeating: "s", count: 43)
    let child: ChildProcess
    let socket: String

    init(state: String, run: String, under wrapper: [String] = []) throws {
        try Durable.makeDirectory(run)
        let (ours, theirs) = try UnixSocket.pair()
        try UnixSocket.setBlocking(ours, true)
        let log = try File(Path.join(run, "daemon.log"), .append)
        let words = wrapper + [Built.path("forge-registry"), "--state", state, "--run", run, "--handoff-fd", "5", "--config", Path.join(run, "none.yaml")]
        try Durable.replace(Path.join(run, "none.yaml"), with: Array("registry:\n  reserve_mebibytes: 4\n".utf8))
        child = try ChildProcess(
            .init(words[0], Array(words.dropFirst()), environment: ["PATH": "/usr/bin:/bin"], descriptors: [1: log.descriptor, 2: log.descriptor, 5: theirs]))
        UnixSocket.close(theirs)
        let peers: [JSON] = [["name": "serve", "sha256": .string(Digest.sha256(DaemonProcess.credential).description)]]
        let handoff: JSON = ["name": "registry", "credential": .string("forge_peer_" + String(repeating: "r", count: 43)), "peers": .array(peers)]
        try UnixSocket.sendAll(ours, handoff.canonical)
        UnixSocket.close(ours)
        socket = Path.join(run, "registry.sock")
    }

    var serve: RegistryClient { RegistryClient(HTTPClient(socket: socket, bearer: DaemonProcess.credential, peer: "forge-registry", timeout: .seconds(20))) }

    /// Until it answers, at most half a minute.
    func ready() async throws {
        let end = Clock.monotonic + 30_000_000_000
        while Clock.monotonic < end {
            if let reply = try? await serve.http.raw(.get, "/readyz"), reply.status == 200 { return }
            try await Task.sleep(for: .milliseconds(50))
        }
        throw Fault(.environment, "test.not_ready", "forge-registry did not answer")
    }

    func found() async throws {
        let _: StoreInitReply = try await serve.http.call(.post, "/v1/init", body: StoreInit(organisation: "bank.example", appliance: "forge-1", passphrase: "correct horse", scryptN: 16))
    }

    /// Kills it, also when it is strace's child: the lock file names the process.
    func end(_ state: String) async {
        let text = (try? File(Path.join(state, "registry.lock"), .read).readAll(limit: .kib(1))).map { String(decoding: $0, as: UTF8.self) } ?? ""
        let pid = text.split(separator: " ").last.flatMap { Int32($0.filter(\.isNumber)) }
        if let pid, pid > 1, pid != ThisProcess.pid { kill(pid, SIGKILL) }
        // strace goes with what it traced, and has then seen its end.
        let end = Clock.monotonic + 3_000_000_000
        while let pid, kill(pid, 0) == 0, Clock.monotonic < end { try? await Task.sleep(for: .milliseconds(5)) }
        kill(child.pid, SIGKILL)
        _ = await child.wait()
    }

    func stop() async {
        kill(child.pid, SIGTERM)
        _ = await child.wait()
    }
}

struct Crash: Sendable, CustomTestStringConvertible {
    let calls: String
    let what: String
    let at: Int
    var testDescription: String { "\(what) at \(calls) #\(at)" }
    var inject: [String] { ["/usr/bin/strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=\(calls)", "-e", "inject=\(calls):\(what):when=\(at)" + (what.hasPrefix("signal") ? "" : "+")] }

    static let all: [Crash] =
        [3, 9, 20, 41].flatMap { [Crash(calls: "fdatasync", what: "error=EIO", at: $0), Crash(calls: "fdatasync", what: "signal=SIGKILL", at: $0)] }
        + [20, 75, 160].flatMap { [Crash(calls: "pwrite64", what: "error=ENOSPC", at: $0), Crash(calls: "pwrite64", what: "error=EIO", at: $0), Crash(calls: "pwrite64", what: "signal=SIGKILL", at: $0)] }
}

@Suite(.serialized, .enabled(if: Path.exists("/usr/bin/strace") && geteuid() == 0, "strace is not here, or may not trace")) struct DaemonCrashTests {
    /// A founded store, closed in order.
    static let founded = Task {
        let scratch = try Scratch("founded")
        let daemon = try DaemonProcess(state: scratch.file("state"), run: scratch.file("run"))
        try await daemon.ready()
        try await daemon.found()
        await daemon.stop()
        return scratch
    }

    @Test(arguments: Crash.all) func `after a crash every acknowledged record is there and the log verifies`(crash: Crash) async throws {
        let scratch = try Scratch("crash")
        let state = scratch.file("state")
        try copy(try await DaemonCrashTests.founded.value.file("state"), to: state)
        let first = try DaemonProcess(state: state, run: scratch.file("run"), under: crash.inject)
        var acknowledged: Set<AuditIndex> = []
        if (try? await first.ready()) != nil {
            acknowledged = await withTaskGroup(of: Set<AuditIndex>.self) { group in
                for _ in 0..<4 {
                    group.addTask {
                        var mine: Set<AuditIndex> = []
                        for _ in 0..<60 {
                            guard let indexes = try? await first.serve.append(infer()) else { break }
                            mine.formUnion(indexes)
                        }
                        return mine
                    }
                }
                return await group.reduce(into: []) { $0.formUnion($1) }
            }
        }
        // A failed sync or write ends the daemon by itself; one that only ran out of room is still there.
        await first.end(state)

        let second = try DaemonProcess(state: state, run: scratch.file("run2"))
        try await second.ready()
        let status = try await second.serve.status()
        #expect(status.health == .well, "\(status.reason)")
        #expect(status.records > acknowledged.max() ?? 0)
        _ = try await second.serve.append(infer())
        await second.stop()
        try copy(state, to: scratch.file("copy"))
        let result = try await Built.verify(scratch.file("copy"))
        #expect(result.code == 0, "\(result.output)")
    }

    @Test func `a failed sync ends the daemon with a failure, and nothing is acknowledged after it`() async throws {
        let scratch = try Scratch("crash")
        let state = scratch.file("state")
        try copy(try await DaemonCrashTests.founded.value.file("state"), to: state)
        let daemon = try DaemonProcess(state: state, run: scratch.file("run"), under: Crash(calls: "fdatasync", what: "error=EIO", at: 12).inject)
        try await daemon.ready()
        var refusal: Fault?
        for _ in 0..<80 where refusal == nil {
            do throws(Fault) { _ = try await daemon.serve.append(infer()) } catch { refusal = error }
        }
        #expect(refusal?.kind == .environment)
        #expect(await daemon.child.wait() != .code(0))
    }
}
