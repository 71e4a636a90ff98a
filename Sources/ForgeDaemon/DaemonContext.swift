package import ForgeConfig
package import ForgeCore
package import ForgeGate
package import ForgeHTTP
import ForgeOS
package import Logging

/// What a daemon is given to build itself from.
package struct DaemonContext: Sendable {
    package let name: DaemonName
    /// As people call it: `forge-registry`, `forged`.
    package let program: String
    /// Its own, 0700, locked by this process.
    package let stateDirectory: String
    package let runDirectory: String
    package let configuration: Configuration
    /// Present only under `forge up`.
    package let handoff: Handoff?
    package let logger: Logger

    /// Installed by the package: sockets come from systemd, and uids tell the daemons apart.
    package var isPackaged: Bool { handoff == nil && !ListenFDs.adopted.isEmpty }

    package init(
        name: DaemonName, stateDirectory: String, runDirectory: String, configuration: Configuration = .init(), handoff: Handoff? = nil, logger: Logger
    ) {
        self.name = name
        self.program = name.program
        self.stateDirectory = stateDirectory
        self.runDirectory = runDirectory
        self.configuration = configuration
        self.handoff = handoff
        self.logger = logger
    }

    /// This daemon's section of the configuration; `finish()` it after reading.
    package func settings() throws(Fault) -> YAMLReader { try configuration.section(name) }

    package func socket(_ door: Door) -> String { Path.join(runDirectory, "\(door.name).sock") }

    /// Calls another daemon as this one.
    package func client(_ peer: DaemonName, timeout: Duration = .seconds(30)) -> HTTPClient {
        HTTPClient(socket: socket(Door(peer.rawValue)), bearer: handoff?.credential, peer: peer.program, timeout: timeout)
    }

    /// A listening socket for a door: the one systemd opened under that name, else a new one at its path.
    /// - Parameter mode: of a new socket file; systemd's units say it for theirs.
    package func listener(_ door: Door, mode: UInt32 = 0o600) throws(Fault) -> Int32 {
        if let adopted = ListenFDs.named(door.name) { return adopted }
        return try UnixSocket.listen(socket(door), mode: mode)
    }
}

extension DaemonName {
    package var program: String {
        switch self {
        case .trainer: "forged"
        case .registry: "forge-registry"
        case .serve: "forge-serve"
        case .admin: "forge-admin"
        }
    }
}
