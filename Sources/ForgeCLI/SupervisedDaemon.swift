internal import ForgeCore
internal import ForgeGate
internal import ForgeHTTP
internal import ForgeOS
internal import Glibc
internal import Synchronization

/// One daemon under `forge up`: started, given its credential, watched, and started again when it crashes.
final class SupervisedDaemon: Sendable {
    let name: DaemonName
    let logPath: String
    private let executable: String
    private let root: String
    private let logLevel: String
    private let handoff: [UInt8]
    private let talk: Talk

    private struct State {
        var child: ChildProcess?
        var stopping = false
        var wasReady = false
    }
    private let state = Mutex(State())

    init(_ name: DaemonName, executable: String, root: String, logLevel: String, handoff: [UInt8], talk: Talk) {
        self.name = name
        self.executable = executable
        self.root = root
        self.logLevel = logLevel
        self.handoff = handoff
        self.talk = talk
        self.logPath = Path.join(root, "log/\(name.rawValue).log")
    }

    /// Runs it again and again until it is stopped.
    /// - Returns: why it cannot be kept running, or nil after `beginStopping`.
    func keepRunning() async -> Fault? {
        var pause = SupervisedDaemon.pauseMin
        while !Task.isCancelled {
            let child: ChildProcess
            do throws(Fault) {
                guard let started = try start() else { return nil }
                child = started
            } catch {
                return error
            }
            let begun = ContinuousClock.now
            let exit = await child.wait()
            let (stopping, wasReady) = state.withLock { ($0.stopping, $0.wasReady) }
            if stopping { return nil }
            // A daemon that never came up, or refuses its configuration, will not do better the next time.
            if !wasReady || exit == .code(64) || exit == .code(78) {
                return Fault(.environment, "up.start", "\(name.title) could not start", why: "it ended with \(exit): \(lastWords())", remedy: "look at `\(logPath)`")
            }
            if ContinuousClock.now - begun > .seconds(60) { pause = SupervisedDaemon.pauseMin }
            talk.say("\(name.title) ended with \(exit); starting it again in \(pause)")
            guard (try? await Task.sleep(for: pause)) != nil else { return nil }
            pause = min(pause * 2, SupervisedDaemon.pauseMax)
        }
        return nil
    }

    private static let pauseMin: Duration = .milliseconds(250)
    private static let pauseMax: Duration = .seconds(30)

    /// - Returns: nil when a stop has begun meanwhile.
    private func start() throws(Fault) -> ChildProcess? {
        let log = try File(logPath, .append)
        let (ours, theirs) = try UnixSocket.pair()
        defer {
            UnixSocket.close(ours)
            UnixSocket.close(theirs)
        }
        var request = ChildProcess.Request(
            executable,
            ["--state", Path.join(root, "state", name.rawValue), "--run", Path.join(root, "run"), "--handoff-fd", "3", "--log-level", logLevel, "--config", try configuration()],
            environment: SupervisedDaemon.environment(root), descriptors: [1: log.descriptor, 2: log.descriptor, 3: theirs])
        request.directory = root
        // Ctrl-C reaches this process alone; it then stops the daemons in order.
        request.newSession = true
        request.parentDeathSignal = SIGTERM
        let child = try state.withLock { (state) throws(Fault) -> ChildProcess? in
            if state.stopping { return nil }
            let child = try ChildProcess(request)
            state.child = child
            return child
        }
        if child != nil { try UnixSocket.sendAll(ours, handoff) }
        return child
    }

    /// `ROOT/forge.yaml` when it is there; never the installed appliance's.
    private func configuration() throws(Fault) -> String {
        let path = Path.join(root, "forge.yaml")
        return try Path.information(path) == nil ? "/dev/null" : path
    }

    /// Nothing of the caller's environment but what names a place or a language, and settings that begin with `FORGE_`.
    private static func environment(_ root: String) -> [String: String] {
        var out = ["HOME": root]
        for name in ["PATH", "LANG", "LC_ALL", "TZ", "TMPDIR", "SWIFT_BACKTRACE", "FORGE_BOOT_ID", "FORGE_THREADS", "FORGE_BACKEND"] {
            if let value = Environment[name] { out[name] = value }
        }
        return out
    }

    /// Whether it takes requests; noted once.
    func isReady() async -> Bool {
        let client = HTTPClient(socket: Path.join(root, "run/\(name.rawValue).sock"), timeout: .seconds(2))
        guard let reply = try? await client.raw(.get, "/readyz"), reply.status == 200 else { return false }
        let first = state.withLock { state in
            defer { state.wasReady = true }
            return !state.wasReady
        }
        if first { talk.say("\(name.title) answers") }
        return true
    }

    func beginStopping() { state.withLock { $0.stopping = true } }

    /// - Returns: how it ended; nil when it was not running.
    func stop(grace: Duration) async -> ChildProcess.Exit? {
        guard let child = state.withLock({ $0.child }) else { return nil }
        if let exit = child.exit { return exit }
        return await child.stop(grace: grace)
    }

    func kill() { state.withLock { $0.child }?.signal(SIGKILL) }

    /// The last line of its log, for the one line that says why.
    private func lastWords() -> String {
        guard let size = try? Path.information(logPath)?.size, size > 0, let file = try? File(logPath, .read),
            let bytes = try? file.read(4096, at: max(0, size - 4096))
        else { return "it said nothing" }
        return String(decoding: bytes, as: UTF8.self).split(separator: "\n").last(where: { !$0.hasPrefix("hint:") }).map(String.init) ?? "it said nothing"
    }
}
