internal import ArgumentParser
internal import ForgeCore
internal import ForgeGate
internal import ForgeHTTP
internal import ForgeOS

/// `forge doctor`: looks for what would go wrong, and says what to do about it.
struct Doctor: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "doctor",
        abstract: "Look for what would go wrong, or prove that nothing calls out.",
        discussion: """
            Examples:
              forge doctor                        the machine, the programs, the daemons
              forge doctor --prove-offline        trace a whole session of a fresh appliance and list every socket it opened
              forge doctor --prove-offline -- make demo
                                                  the same for a command of yours
            Ends with 3 when something is wrong, or when a socket was anything but a Unix one. The proof needs strace.
            """)

    @OptionGroup var global: Global

    @Flag(name: .customLong("prove-offline"), help: "Run a session under a system-call trace and list every socket that was opened.")
    var proveOffline = false

    @Argument(parsing: .postTerminator, help: "With --prove-offline: the command to trace instead.")
    var command: [String] = []

    func validate() throws {
        if !command.isEmpty, !proveOffline { throw ValidationError("a command is only traced with --prove-offline") }
    }

    func run() async throws {
        if proveOffline { return try await OfflineProof(global: global, command: command).run() }
        let checks = try machine() + programs() + (await daemons())
        try global.output.list(
            "DoctorCheckList", checks, name: \.subject,
            columns: [.init("", { $0.verdict.mark }), .init("WHAT", \.subject), .init("FOUND", \.found)])
        for check in checks where check.verdict != .well && !check.remedy.isEmpty { global.talk.say("hint: \(check.subject): \(check.remedy)") }
        if checks.contains(where: { $0.verdict == .wrong }) { throw ExitCodes.checkFailed }
    }

    struct Check: Encodable {
        enum Verdict: String, Encodable {
            case well, warning, wrong
            var mark: String {
                switch self {
                case .well: "ok"
                case .warning: "!"
                case .wrong: "NO"
                }
            }
        }
        let subject: String
        let verdict: Verdict
        let found: String
        let remedy: String

        init(_ subject: String, _ verdict: Verdict, _ found: String, remedy: String = "") {
            self.subject = subject
            self.verdict = verdict
            self.found = found
            self.remedy = remedy
        }
    }

    // MARK: the machine

    private func machine() throws(Fault) -> [Check] {
        var checks: [Check] = []
        let memory = try Machine.memory()
        checks.append(
            Check(
                "memory", memory.total >= .gib(2) ? .well : .warning, "\(memory.total), \(memory.free) unused; \(Machine.cores) cores",
                remedy: "training wants 2 GiB or more"))
        let place = global.place.root ?? "/var/lib/forge"
        if Path.exists(place) {
            let free = try Path.freeSpace(place)
            checks.append(
                Check(
                    "disk", free >= .gib(5) ? .well : free >= .gib(1) ? .warning : .wrong, "\(free) free at \(place)",
                    remedy: "the log refuses to work on a full disk; make room before that"))
        }
        let now = Clock.now()
        // The release cannot be older than its own source; a clock before that is not set.
        checks.append(Check("clock", now > Timestamp(seconds: 1_764_000_000) ? .well : .wrong, now.brief, remedy: "set the clock: records and sign-ins carry the time"))
        let hasKeygen = Path.isExecutable("/usr/bin/ssh-keygen")
        checks.append(Check("signing", hasKeygen ? .well : .wrong, hasKeygen ? "ssh-keygen is there" : "there is no ssh-keygen", remedy: "apt install openssh-client"))
        return checks
    }

    // MARK: the programs

    private func programs() throws(Fault) -> [Check] {
        let own = Path.parent(try Path.executable())
        let folders = [own, Path.join(Path.parent(own), "libexec/forge")]
        var missing: [String] = []
        for name in DaemonName.allCases where !folders.contains(where: { Path.isExecutable(Path.join($0, name.program)) }) { missing.append(name.program) }
        if !Path.isExecutable(Path.join(own, "forge-verify")) { missing.append("forge-verify") }
        return [
            Check(
                "programs", missing.isEmpty ? .well : .wrong, missing.isEmpty ? "all six, \(ForgeVersion.current)" : "missing: \(missing.joined(separator: ", "))",
                remedy: "install or build all of Forge")
        ]
    }

    // MARK: the daemons

    /// What a daemon says of the file system it stands on; nothing when it has room.
    static func disk(_ level: String, of program: String) -> Check? {
        let subject = "disk of \(program)", remedy = "free space on its file system; nothing is deleted by itself"
        return switch level {
        case "warning": Check(subject, .warning, "over 80 % full", remedy: remedy)
        case "alert": Check(subject, .wrong, "over 90 % full: nothing new is taken", remedy: remedy)
        case "critical": Check(subject, .wrong, "over 95 % full: the registry records officers' actions alone", remedy: remedy)
        default: nil
        }
    }

    private func daemons() async -> [Check] {
        var checks: [Check] = []
        for name in DaemonName.allCases {
            let client = HTTPClient(socket: global.place.socket(name.rawValue), timeout: .seconds(5))
            do throws(Fault) {
                let reply = try await client.raw(.get, "/readyz")
                let body = try Wire.parse(reply.body, "the answer of \(name.program)")
                let version = body["version"]?.string ?? "?"
                let facts = body.object?.members.filter { !["daemon", "version", "status"].contains($0.key) }.map { "\($0.key): \($0.value.string ?? $0.value.text)" } ?? []
                let found = ([body["status"]?.string ?? "?"] + facts).joined(separator: ", ")
                if version != ForgeVersion.current {
                    checks.append(Check(name.program, .wrong, "version \(version), and this is \(ForgeVersion.current)", remedy: "restart the daemons after an upgrade"))
                } else {
                    // forge-registry takes requests also when its log does not verify, so that people can ask what is wrong.
                    let (verdict, remedy): (Check.Verdict, String) =
                        switch body["health"]?.string {
                        case "damaged", "broken": (.wrong, "`forge status` says why")
                        case "full": (.warning, "free space on its file system")
                        default: (reply.status == 200 ? .well : .wrong, "look at its log")
                        }
                    checks.append(Check(name.program, verdict, found, remedy: remedy))
                }
                if let disk = body["disk"]?.string, let check = Doctor.disk(disk, of: name.program) { checks.append(check) }
            } catch {
                checks.append(Check(name.program, .wrong, error.message, remedy: error.remedy))
            }
        }
        do throws(Fault) {
            let session = try SessionFile(path: global.place.sessionPath).read()
            checks.append(Check("sign-in", session == nil ? .warning : .well, session == nil ? "nobody signed in here" : "there is one", remedy: "`forge login NAME --key FILE`"))
        } catch {
            checks.append(Check("sign-in", .wrong, error.message, remedy: error.remedy))
        }
        return checks
    }
}
