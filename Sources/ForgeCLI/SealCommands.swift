internal import AdminAPI
internal import ArgumentParser
internal import ForgeCore
internal import RegistryAPI

struct Seal: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Wipe the store's keys from memory: nothing is opened any more.",
        discussion: "Serving stops and training waits until `forge unseal`. Stopping is always one person's decision.")
    @OptionGroup var global: Global

    func run() async throws {
        let status = try await global.registry().seal()
        global.talk.say(status.isSealed ? "sealed" : "the registry says that it is not sealed")
    }
}

struct Unseal: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Open the store with its passphrase or the recovery key.",
        discussion: "Asks at the terminal unless a file or a descriptor is named. With --recovery the secret is the recovery key.")
    @OptionGroup var global: Global
    @Option(name: .long, help: "A file of yours that others cannot read; its first line is the secret.") var file: String?
    @Option(name: .long, help: "An inherited descriptor to read the secret from.") var descriptor: Int32?
    @Flag(name: .long, help: "The secret is the recovery key.") var recovery = false

    func validate() throws {
        if file != nil, descriptor != nil { throw ValidationError("--file and --descriptor exclude each other") }
    }

    func run() async throws {
        let secret: String
        if let file { secret = try Secret.read(path: file) } else if let descriptor { secret = try Secret.read(descriptor: descriptor) } else {
            secret = try Secret.ask(recovery ? "recovery key" : "passphrase of the store")
        }
        let status = try await global.registry().unseal(recovery ? UnsealRequest(recovery: secret) : UnsealRequest(passphrase: secret))
        global.talk.say("unsealed; \(status.records) records in the log, \(status.signed) under a signed checkpoint")
    }
}

struct Status: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Show how the appliance is: sealed or not, how long the log is, what no witness has seen yet.")
    @OptionGroup var global: Global

    /// Each daemon for itself: one that is down must not hide the others.
    struct Report: Encodable {
        var registry: RegistryStatus?
        var admin: AdminStatus?
        var problems: [String] = []
    }

    func run() async throws {
        var report = Report()
        do throws(Fault) { report.registry = try await global.registry().status() } catch { report.problems.append(error.message) }
        do throws(Fault) { report.admin = try await global.admin().status() } catch { report.problems.append(error.message) }
        var fields: [(String, String)] = []
        if let registry = report.registry {
            fields += [
                ("store", registry.isSealed ? "sealed" : "open"), ("health", registry.reason.isEmpty ? registry.health.rawValue : "\(registry.health.rawValue): \(registry.reason)"),
                ("audit log", "\(registry.origin ?? "none"): \(registry.records) records, \(registry.signed) signed, \(registry.witnessed) witnessed"),
                ("disk", registry.disk.map { "\($0.usedPercent) % used, \(ByteCount($0.freeBytes)) free, \($0.level)" } ?? "unknown"),
                ("unwitnessed", registry.records > registry.witnessed ? "\(registry.records - registry.witnessed) records, for \(Text.duration(seconds: Double(registry.unwitnessedSeconds)))" : "nothing"),
            ]
        }
        if let admin = report.admin {
            fields += [("people", admin.initialised ? "\(admin.users) enrolled, epoch \(admin.epoch)" : "not enrolled yet: `forge init`"), ("policy", admin.policy?.description ?? "none")]
        }
        for problem in report.problems { fields.append(("problem", problem)) }
        try global.output.show("Status", report, name: report.problems.isEmpty ? "well" : "unwell", fields: fields)
        if report.registry == nil || report.admin == nil { throw ExitCode(69) }
    }
}
