import ForgeCore
package import ForgeGate
import ForgeHTTP
import ForgeOS
import Glibc
import Logging

/// The life of a daemon. A `main.swift` is one call:
///
///     await Daemon.main(.registry) { context in try await RegistryService.plan(context) }
package enum Daemon {
    package typealias Build = @Sendable (DaemonContext) async throws -> DaemonPlan

    /// How long a stop may take altogether: under systemd's 90 s, over the longest request.
    static let stopTime: Duration = .seconds(40)
    static let drainTime: Duration = .seconds(20)

    /// Parses the arguments, runs until a signal or a failure, and exits: 0 after an orderly stop, 64 for wrong usage, 78 for a wrong
    /// configuration, 1 for anything else.
    package static func main(_ name: DaemonName, arguments: [String] = Array(CommandLine.arguments.dropFirst()), build: @escaping Build) async -> Never {
        let program = name.program
        do throws(Fault) {
            switch try DaemonOptions.parse(arguments, program: program) {
            case .print(let text):
                print(text)
                exit(0)
            case .run(let options): try await run(name, options, build)
            }
        } catch {
            complain(error, program)
            exit(error.code == "daemon.usage" ? 64 : error.code.hasPrefix("config.") || error.code.hasPrefix("yaml.") ? 78 : 1)
        }
        exit(0)
    }

    private static func complain(_ fault: Fault, _ program: String) {
        var text = "\(program): \(LogLine.oneLine(fault.description))\n"
        if !fault.remedy.isEmpty { text += "hint: \(LogLine.oneLine(fault.remedy))\n" }
        Terminal.write(LogLine.redacted(text), to: 2)
    }

    private static func run(_ name: DaemonName, _ options: DaemonOptions, _ build: Build) async throws(Fault) {
        Signals.ignoreBrokenPipes()
        ThisProcess.narrowUmask()
        try ThisProcess.forbidDumps()
        let signals = try Signals.events(SIGTERM, SIGINT)
        let configuration = try Configuration.load(options.configuration)
        let level = options.logLevel ?? configuration.logLevel ?? .info
        let forJournal = Environment["JOURNAL_STREAM"] != nil
        LoggingSystem.bootstrap { LogLine(label: $0, level: level, forJournal: forJournal) }
        let logger = Logger(label: name.program)
        let handoff = try options.handoff.map { (descriptor) throws(Fault) in try Handoff.receive(descriptor, for: name) }
        let state = try StateDirectory(
            options.state ?? Environment["STATE_DIRECTORY"] ?? "/var/lib/forge/\(name.rawValue)", program: name.program)
        let context = DaemonContext(
            name: name, stateDirectory: state.path, runDirectory: try Path.absolute(options.run ?? configuration.run ?? "/run/forge"), configuration: configuration,
            handoff: handoff, logger: logger)
        logger.info("starting", metadata: ["version": "\(ForgeVersion.current)", "state": "\(state.path)", "uid": "\(ThisProcess.uid)"])
        let plan: DaemonPlan
        do { plan = try await build(context) } catch { throw fault(error, while: "starting") }
        try await Lifecycle(context, plan).run(until: signals)
        logger.info("stopped")
        _ = consume state  // the lock is held to here
    }

    static func fault(_ error: any Error, while doing: String) -> Fault {
        if let fault = error as? Fault { return fault }
        return Fault(.environment, "daemon.failed", "failed while \(doing)", why: "an unexpected error", detail: "\(type(of: error)): \(error)")
    }
}
