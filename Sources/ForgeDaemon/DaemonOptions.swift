package import ForgeCore
import ForgeOS
package import Logging

/// The flags every daemon takes. Flags win over the configuration file.
package struct DaemonOptions: Sendable {
    package var configuration: String?
    package var state: String?
    package var run: String?
    package var handoff: Int32?
    package var logLevel: Logger.Level?

    package init() {}

    package enum Outcome: Sendable {
        case run(DaemonOptions)
        /// To be printed to stdout, and then nothing else.
        case print(String)
    }

    /// - Parameter arguments: without the program's name. `--name value` and `--name=value` are the same.
    package static func parse(_ arguments: [String], program: String) throws(Fault) -> Outcome {
        var options = DaemonOptions()
        var rest = arguments[...]
        while let argument = rest.popFirst() {
            let parts = argument.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            let name = String(parts[0])
            func value() throws(Fault) -> String {
                let text = parts.count > 1 ? String(parts[1]) : rest.popFirst()
                guard let text, !text.isEmpty else { throw usage(program, "`\(name)` needs a value") }
                return text
            }
            switch name {
            case "--config": options.configuration = try value()
            case "--state": options.state = try value()
            case "--run": options.run = try value()
            case "--handoff-fd":
                let text = try value()
                guard let descriptor = Int32(text), descriptor > 2 else { throw usage(program, "`--handoff-fd` must be a descriptor above 2, not `\(text)`") }
                options.handoff = descriptor
            case "--log-level":
                let text = try value()
                guard let level = Logger.Level(rawValue: text) else {
                    throw usage(program, "`--log-level` knows \(Logger.Level.allCases.map { "`\($0.rawValue)`" }.joined(separator: ", ")), not `\(text)`")
                }
                options.logLevel = level
            case "--version": return .print("\(program) \(ForgeVersion.current)")
            case "--help", "-h": return .print(help(program))
            default: throw usage(program, "there is no option `\(argument)`")
            }
        }
        return .run(options)
    }

    private static func usage(_ program: String, _ why: String) -> Fault {
        Fault(.request, "daemon.usage", "cannot start \(program)", why: why, remedy: "`\(program) --help` lists the options")
    }

    private static func help(_ program: String) -> String {
        """
        \(program): one of the four daemons of Forge. People use `forge`; this is started by systemd or by `forge up`.

        usage: \(program) [--config FILE] [--state DIR] [--run DIR] [--log-level LEVEL] [--handoff-fd N]

          --config FILE     configuration in YAML (default /etc/forge/forge.yaml, if it is there)
          --state DIR       what this daemon keeps; only its own user may open it (default $STATE_DIRECTORY, else /var/lib/forge/<name>)
          --run DIR         where the sockets are (default /run/forge)
          --log-level LEVEL trace, debug, info, notice, warning, error or critical (default info)
          --handoff-fd N    an inherited socket with this daemon's credential, from `forge up`
          --version         print the version
        """
    }
}
