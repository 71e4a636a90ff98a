internal import ForgeCore
internal import ForgeCrypto
internal import ForgeGate
internal import ForgeHTTP
internal import ForgeOS
internal import Synchronization
internal import Glibc

/// Starts the four daemons in one directory, tells them who is who, restarts what crashes, and stops all of them in reverse order.
///
/// All of them share one uid, so each gets a fresh credential over an inherited socket pair, and the digests of the others'. The
/// credentials live in this process's memory alone.
struct Supervisor: Sendable {
    private let root: String
    private let talk: Talk
    private let daemons: [SupervisedDaemon]
    private let lock: LockHolder

    /// From the one everything is recorded at to the one that answers the world.
    private static let order: [DaemonName] = [.registry, .admin, .trainer, .serve]
    static let startTime: Duration = .seconds(60)
    /// Longer than a daemon's own deadline for stopping.
    static let stopTime: Duration = .seconds(50)

    init(root: String, logLevel: String, talk: Talk) throws(Fault) {
        self.root = root
        self.talk = talk
        ThisProcess.narrowUmask()
        for part in ["", "run", "state", "log"] { try Durable.makeDirectory(Path.join(root, part), mode: 0o700) }
        lock = try LockHolder(Path.join(root, "run/up.lock"))
        let places = try Supervisor.executables()
        let credentials = Dictionary(uniqueKeysWithValues: Supervisor.order.map { ($0, "forge_peer_" + Hex.encode(Random.bytes(32))) })
        var daemons: [SupervisedDaemon] = []
        for name in Supervisor.order {
            try Durable.makeDirectory(Path.join(root, "state", name.rawValue), mode: 0o700)
            daemons.append(
                SupervisedDaemon(
                    name, executable: places[name]!, root: root, logLevel: logLevel, handoff: Supervisor.handoff(name, credentials), talk: talk))
        }
        self.daemons = daemons
    }

    /// Runs until a signal, or until a daemon cannot be started.
    func run() async throws(Fault) {
        try ThisProcess.forbidDumps()  // the daemons' credentials are in this memory
        let signals = try Signals.events(SIGTERM, SIGINT, SIGHUP)
        let (events, event) = AsyncStream.makeStream(of: Event.self)
        let outcome = await withTaskGroup(of: Void.self) { group in
            group.addTask { for await number in signals { event.yield(.signal(number)) } }
            for daemon in daemons { group.addTask { if let fault = await daemon.keepRunning() { event.yield(.gaveUp(fault)) } } }
            group.addTask {
                if let fault = await awaitReadiness() { event.yield(.gaveUp(fault)) } else { event.yield(.ready) }
            }
            var failure: Fault?
            loop: for await event in events {
                switch event {
                case .ready: announce()
                case .signal(let number):
                    talk.say("stopping (signal \(number)); once more ends it at once")
                    break loop
                case .gaveUp(let fault):
                    failure = fault
                    break loop
                }
            }
            for daemon in daemons { daemon.beginStopping() }
            let impatient = Task {
                // A second signal: nothing is lost that a power cut would not lose either.
                for await event in events { if case .signal = event { for daemon in daemons { daemon.kill() } } }
            }
            var killed: [String] = []
            for daemon in daemons.reversed() {
                if let exit = await daemon.stop(grace: Supervisor.stopTime), !exit.isSuccess, failure == nil { killed.append("\(daemon.name.title) (\(exit))") }
            }
            impatient.cancel()
            group.cancelAll()
            event.finish()
            if failure == nil, !killed.isEmpty {
                failure = Fault(
                    .environment, "up.stop", "not every daemon stopped in an orderly way", why: killed.joined(separator: ", "),
                    remedy: "the logs in `\(Path.join(root, "log"))` say more; what is on disk is whole")
            }
            return failure
        }
        withExtendedLifetime(lock) {}
        if let outcome { throw outcome }
        talk.say("stopped")
    }

    private enum Event: Sendable {
        case ready
        case signal(Int32)
        case gaveUp(Fault)
    }

    private func announce() {
        print("ready")
        fflush(nil)
        talk.say("sockets in \(Path.join(root, "run")), logs in \(Path.join(root, "log")); `export FORGE_ROOT=\(root)` lets `forge` find them")
    }

    /// - Returns: nil once all four answer.
    private func awaitReadiness() async -> Fault? {
        let end = ContinuousClock.now + Supervisor.startTime
        for daemon in daemons {
            while await !daemon.isReady() {
                guard (try? await Task.sleep(for: .milliseconds(50))) != nil else { return nil }
                guard ContinuousClock.now < end else {
                    return Fault(
                        .environment, "up.start", "\(daemon.name.title) does not become ready", why: "it did not answer /readyz within \(Supervisor.startTime)",
                        remedy: "look at `\(daemon.logPath)`")
                }
            }
        }
        return nil
    }

    /// What one daemon is told: its own credential, and by which digest it knows the others.
    private static func handoff(_ name: DaemonName, _ credentials: [DaemonName: String]) -> [UInt8] {
        let peers: [JSON] = order.filter { $0 != name }.map { peer in
            ["name": .string(peer.rawValue), "sha256": .string(Digest.sha256(credentials[peer]!).hex)]
        }
        let message: JSON = ["name": .string(name.rawValue), "credential": .string(credentials[name]!), "peers": .array(peers)]
        return Array(message.text.utf8)
    }

    /// The daemons stand beside this program, or where the package puts them.
    private static func executables() throws(Fault) -> [DaemonName: String] {
        let own = Path.parent(try Path.executable())
        let folders = [own, Path.join(Path.parent(own), "libexec/forge")]
        var found: [DaemonName: String] = [:]
        for name in order {
            guard let path = folders.map({ Path.join($0, name.program) }).first(where: Path.isExecutable) else {
                throw Fault(
                    .environment, "up.missing", "cannot find `\(name.program)`", why: "it is neither in `\(folders[0])` nor in `\(folders[1])`",
                    remedy: "build or install all of Forge")
            }
            found[name] = path
        }
        return found
    }
}

extension DaemonName {
    /// The executable.
    var program: String {
        switch self {
        case .trainer: "forged"
        case .registry: "forge-registry"
        case .serve: "forge-serve"
        case .admin: "forge-admin"
        }
    }

    var title: String { program }
}

/// Keeps the lock of a directory for as long as the supervisor lives.
private final class LockHolder: Sendable {
    private let lock: FileLock
    init(_ path: String) throws(Fault) { lock = try FileLock(path, holder: "forge up") }
}
