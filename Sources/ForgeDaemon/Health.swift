import ForgeCore
import ForgeGate
import ForgeHTTP
import Synchronization

/// `/healthz`: the process answers. `/readyz`: every door accepts and it is not stopping; sealed or not stands in the body.
final class Health: Sendable {
    private let state = Mutex<(ready: Bool, stopping: Bool)>((false, false))
    private let name: DaemonName
    private let facts: @Sendable () async -> JSON.Object

    init(_ name: DaemonName, facts: @escaping @Sendable () async -> JSON.Object) {
        self.name = name
        self.facts = facts
    }

    func becomeReady() { state.withLock { $0.ready = true } }
    func becomeStopping() { state.withLock { $0.stopping = true } }

    /// Those that the door does not answer itself.
    func routes(besides given: [Route]) -> [Route] {
        let own = [
            Route(.get, "/healthz", summary: "Whether the process answers.") { _ in .json(["status": "ok"] as JSON) },
            Route(.get, "/readyz", summary: "Whether the daemon takes requests; its body says in which state.") { _ in await self.ready() },
        ]
        return own.filter { mine in !given.contains { $0.method == mine.method && $0.pattern == mine.pattern } }
    }

    private func ready() async -> HTTPResponse {
        let (isReady, isStopping) = state.withLock { ($0.ready, $0.stopping) }
        var body = await facts()
        body["daemon"] = .string(name.rawValue)
        body["version"] = .string(ForgeVersion.current)
        body["status"] = .string(isStopping ? "stopping" : isReady ? "ready" : "starting")
        return .json(.object(body), status: isReady && !isStopping ? 200 : 503)
    }
}
