internal import ForgeCore
internal import ForgeOS
internal import Glibc

/// Runs a session under strace and shows every kind of socket that any of its processes opened.
struct OfflineProof: Sendable {
    let global: Global
    /// Empty: a session of a fresh appliance in a scratch directory.
    let command: [String]

    private static let strace = "/usr/bin/strace"
    /// Everything by which a process can come by a way out: sockets, and rings whose entries could open sockets unseen.
    private static let calls = "socket,socketpair,connect,bind,io_uring_setup,io_uring_enter"

    func run() async throws {
        guard Path.isExecutable(OfflineProof.strace) else {
            throw Fault(.environment, "doctor.strace", "cannot prove anything here", why: "there is no strace", remedy: "apt install strace")
        }
        let scratch = Path.join(Environment["TMPDIR"] ?? "/tmp", "forge-proof-\(String(describing: ID()).prefix(12))")
        try Durable.makeDirectory(scratch, mode: 0o755)
        defer { try? Path.removeTree(scratch) }
        var report: SocketReport
        if command.isEmpty {
            report = try await session(scratch)
        } else {
            let code = try await traced(command, into: Path.join(scratch, "trace"), output: 1)
            report = SocketReport()
            try report.read(Path.join(scratch, "trace"))
            if code != 0 { report.failures.append("the command ended with \(code)") }
        }
        try show(report)
    }

    // MARK: the session

    /// The life of an appliance from its first start to its stop, each program of it traced from its first instruction.
    private func session(_ scratch: String) async throws -> SocketReport {
        let own = try Path.executable()
        let root = Path.join(scratch, "site"), people = Path.join(scratch, "people")
        try Durable.makeDirectory(people, mode: 0o700)
        var report = SocketReport()
        let log = try File(Path.join(scratch, "up.log"), .replace)
        let up = try start([own, "up", "--root", root], trace: Path.join(scratch, "up.trace"), out: log.descriptor, root: root, session: "nobody", scratch)
        global.talk.say("a fresh appliance starts under strace, which takes a while")
        var ready = false
        for _ in 0..<1200 where !ready && up.exit == nil {
            ready = String(decoding: (try? File(Path.join(scratch, "up.log"), .read).readAll(limit: .mib(1))) ?? [], as: UTF8.self).split(separator: "\n").contains("ready")
            if !ready { try await Task.sleep(for: .milliseconds(100)) }
        }
        guard ready else {
            _ = await end(up, root)
            throw Fault(.environment, "doctor.up", "the appliance to be traced did not start", why: "`forge up` did not say ready", remedy: "try `forge up` on its own")
        }
        do {
            var number = 0, kept = ""
            for step in try await ProofSession(people).steps {
                number += 1
                let trace = Path.join(scratch, "\(number).trace"), words = step.words.map { $0 == ProofSession.kept ? kept : $0 }
                let program = step.program == "forge" ? own : Path.join(Path.parent(own), step.program)
                global.talk.say("  \(step.program) \(words.joined(separator: " "))")
                let output = try File(Path.join(scratch, "\(number).out"), .replace)
                let child = try start([program] + words, trace: trace, out: output.descriptor, root: root, session: step.person, scratch)
                let exit = await child.wait()
                let said = String(decoding: try File(output.path, .read).readAll(limit: .mib(1)), as: UTF8.self)
                if exit != .code(step.code) { report.failures.append("`\(step.program) \(words.joined(separator: " "))` ended with \(exit): \(said.suffix(400))") }
                if step.keeps { kept = ProofSession.word(in: said) }
                try report.read(trace)
            }
        } catch {
            _ = await end(up, root)
            throw error
        }
        let exit = await end(up, root)
        if exit != .code(0) { report.failures.append("`forge up` ended with \(exit)") }
        try report.read(Path.join(scratch, "up.trace"))
        return report
    }

    /// strace keeps SIGTERM to itself, so the supervisor is asked by the process number in its own lock.
    private func end(_ up: ChildProcess, _ root: String) async -> ChildProcess.Exit {
        let holder = String(decoding: (try? File(Path.join(root, "run/up.lock"), .read).readAll(limit: .kib(1))) ?? [], as: UTF8.self)
        if up.exit == nil, let pid = holder.split(whereSeparator: \.isWhitespace).last.flatMap({ Int32($0) }), pid > 1 { _ = Glibc.kill(pid, SIGTERM) }
        for _ in 0..<900 where up.exit == nil { guard (try? await Task.sleep(for: .milliseconds(100))) != nil else { break } }
        return await up.stop(grace: .seconds(1))
    }

    private func start(_ words: [String], trace: String, out: Int32, root: String, session: String, _ scratch: String) throws -> ChildProcess {
        var request = ChildProcess.Request(
            OfflineProof.strace, ["-f", "-qq", "-e", "trace=\(OfflineProof.calls)", "-e", "signal=none", "-o", trace, "--"] + words,
            environment: [
                "PATH": Environment["PATH"] ?? "/usr/bin:/bin", "HOME": scratch, "TMPDIR": Environment["TMPDIR"] ?? "/tmp", "FORGE_ROOT": root,
                "FORGE_SESSION": Path.join(scratch, "people/\(session).session"),
            ],
            descriptors: [1: out, 2: out])
        request.newSession = true
        request.parentDeathSignal = SIGTERM
        return try ChildProcess(request)
    }

    private func traced(_ words: [String], into trace: String, output: Int32) async throws -> Int32 {
        var request = ChildProcess.Request(
            OfflineProof.strace, ["-f", "-qq", "-e", "trace=\(OfflineProof.calls)", "-e", "signal=none", "-o", trace, "--"] + words,
            environment: Environment.all, descriptors: [0: 0, 1: output, 2: 2])
        request.parentDeathSignal = SIGTERM
        switch try await ChildProcess(request).wait() {
        case .code(let code): return code
        case .signal(let number): return 128 + number
        }
    }

    // MARK: the verdict

    private func show(_ report: SocketReport) throws {
        let rows = report.rows
        try global.output.list(
            "SocketList", rows, name: \.what,
            columns: [.init("CALL", \.call), .init("FAMILY", \.family), .init("TIMES", number: true) { Text.grouped($0.count) }, .init("WHERE TO", \.what)])
        for failure in report.failures { global.talk.say("not done: \(failure)") }
        let strangers = rows.filter { !$0.isLocal }
        if !strangers.isEmpty {
            Talk.complain(
                Fault(
                    .request, "doctor.not_offline", "something reached for more than this machine",
                    why: strangers.map { "\($0.call) \($0.family) (\($0.count) times)" }.joined(separator: ", "), remedy: "the table says where to"))
            throw ExitCodes.checkFailed
        }
        guard report.failures.isEmpty else {
            throw Fault(.environment, "doctor.incomplete", "the session was traced, but not all of it worked", why: "\(report.failures.count) steps failed")
        }
        global.talk.say("proven for this session: \(Text.grouped(report.processes.count)) processes, and no socket but Unix ones")
    }
}

/// What a trace says about sockets.
struct SocketReport: Sendable {
    struct Row: Encodable, Sendable {
        let call: String
        let family: String
        let what: String
        let count: Int
        let isLocal: Bool
    }

    private var counts: [Key: Int] = [:]
    private(set) var processes: Set<String> = []
    var failures: [String] = []

    private struct Key: Hashable, Sendable {
        let call: String
        let family: String
        let what: String
    }

    mutating func read(_ path: String) throws(Fault) {
        for line in String(decoding: try File(path, .read).readAll(limit: .gib(1)), as: UTF8.self).split(separator: "\n") { take(String(line)) }
    }

    /// One line of `strace -f`: `12 socket(AF_UNIX, SOCK_STREAM|SOCK_CLOEXEC, 0) = 5`. A call that is interrupted by another
    /// thread's is split over two lines; the first has the arguments, and is the one that counts.
    mutating func take(_ line: String) {
        let words = line.split(separator: " ", maxSplits: 1, omittingEmptySubsequences: true)
        guard words.count == 2 else { return }
        processes.insert(String(words[0]))
        let rest = words[1].drop { $0 == " " }
        guard let open = rest.firstIndex(of: "("), !rest.hasPrefix("<...") else { return }
        let call = String(rest[..<open]), arguments = rest[rest.index(after: open)...]
        switch call {
        case "socket", "socketpair": count(call, String(arguments.prefix { $0 != "," && $0 != ")" && $0 != " " }), "")
        case "connect", "bind":
            let family = SocketReport.between(arguments, "sa_family=", [",", "}"]) ?? "?"
            let place =
                SocketReport.between(arguments, "sun_path=", ["}", ","]) ?? SocketReport.between(arguments, "inet_addr(", [")"])
                ?? SocketReport.between(arguments, "sin6_addr", ["}"]) ?? ""
            count(call, family, SocketReport.brief(place))
        default: count(call, "", "a ring could open sockets unseen")
        }
    }

    private mutating func count(_ call: String, _ family: String, _ what: String) { counts[Key(call: call, family: family, what: what), default: 0] += 1 }

    var rows: [Row] {
        counts.map { key, count in
            Row(call: key.call, family: key.family, what: key.what, count: count, isLocal: ["AF_UNIX", "AF_LOCAL"].contains(key.family))
        }.sorted { ($0.isLocal ? 1 : 0, $0.call, $0.family, $0.what) < ($1.isLocal ? 1 : 0, $1.call, $1.family, $1.what) }
    }

    private static func between(_ text: Substring, _ start: String, _ ends: [Character]) -> String? {
        guard let range = text.firstRange(of: start) else { return nil }
        return String(text[range.upperBound...].prefix { !ends.contains($0) })
    }

    /// The socket's name without the scratch directory that will be gone.
    private static func brief(_ place: String) -> String {
        let bare = place.filter { $0 != "\"" }
        return bare.contains("/forge-proof-") ? Path.join("…", Path.name(Path.parent(bare)), Path.name(bare)) : bare
    }
}
