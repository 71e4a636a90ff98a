package import ForgeCore
package import ForgeHTTP

/// Something that runs for as long as the daemon does.
package protocol Service: Sendable {
    var name: String { get }
    /// Returns after `stop`, or when the task is cancelled. Returning before that, or throwing, ends the daemon.
    func run() async throws
    /// Asks `run` to finish what it is doing and return.
    func stop() async
}

/// What a daemon consists of, in the order of starting; it is stopped in reverse.
package struct DaemonPlan: Sendable {
    /// One HTTP door and what is behind it. `/healthz` and `/readyz` are added.
    package struct DoorPlan: Sendable {
        package var door: Door
        package var routes: [Route]
        /// Of the socket file, where systemd does not make it.
        package var mode: UInt32
        package var limits: HTTPServer.Limits
        package var faultBody: (@Sendable (Fault, ID) -> JSON)?

        package init(
            _ door: Door, mode: UInt32 = 0o600, limits: HTTPServer.Limits = .init(), faultBody: (@Sendable (Fault, ID) -> JSON)? = nil, routes: [Route]
        ) {
            self.door = door
            self.routes = routes
            self.mode = mode
            self.limits = limits
            self.faultBody = faultBody
        }
    }

    package var services: [any Service]
    package var doors: [DoorPlan]
    /// Facts for the body of `/readyz`, such as `sealed`. It answers 200 whatever they are.
    package var facts: @Sendable () async -> JSON.Object
    /// Whether the part that does the work still turns: asked before each sign of life to the watchdog. It must come back.
    package var isAlive: @Sendable () async -> Bool
    /// One line for the service manager and the log.
    package var status: @Sendable () async -> String
    /// Called when a stop begins, while the doors still finish what is under way: long answers are ended here.
    package var stopping: @Sendable () async -> Void

    package init(
        doors: [DoorPlan], services: [any Service] = [], facts: @escaping @Sendable () async -> JSON.Object = { .init() },
        isAlive: @escaping @Sendable () async -> Bool = { true }, status: @escaping @Sendable () async -> String = { "ready" },
        stopping: @escaping @Sendable () async -> Void = {}
    ) {
        self.doors = doors
        self.services = services
        self.facts = facts
        self.isAlive = isAlive
        self.status = status
        self.stopping = stopping
    }
}
