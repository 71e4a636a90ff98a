import ForgeAudit
package import ForgeAuthority
package import ForgeCore
package import ForgeGate
package import ForgeHTTP
import ForgeOS
import ForgeTensor
package import Logging
import RegistryAPI
import TrainerAPI

/// The service behind trainer.sock. Routes live in the extension files, one a noun.
package final class Trainer: Sendable {
    package let site: TrainerSite
    package let store: TrainerStore
    package let supervisor: Supervisor
    let registry: any RegistryPort
    let gate: Gate
    let myself: KnownCaller
    let logger: Logger
    let estimator: Estimator
    private let identify: @Sendable (Caller) async throws(Fault) -> KnownCaller

    package init(
        site: TrainerSite, registry: any RegistryPort, gate: Gate, myself: KnownCaller, logger: Logger, identify: @escaping @Sendable (Caller) async throws(Fault) -> KnownCaller
    ) async throws(Fault) {
        self.site = site
        self.registry = registry
        self.gate = gate
        self.myself = myself
        self.logger = logger
        self.identify = identify
        store = try TrainerStore(site.stateDirectory)
        estimator = Estimator(threads: site.threads)
        supervisor = Supervisor(site: site, store: store, registry: registry, gate: gate, myself: myself, logger: logger)
    }

    package var routes: [Route] { statusRoutes + datasetRoutes + runRoutes + evaluationRoutes }

    private var statusRoutes: [Route] {
        [Route(.get, "/v1/status", summary: "What runs and waits; names nobody.") { [self] _ in try .json(try await status()) }]
    }

    private func status() async throws(Fault) -> TrainerStatus {
        let runs = await store.allRuns()
        return TrainerStatus(
            version: ForgeVersion.current, queued: runs.count { [.queued, .waiting, .paused].contains($0.state) },
            running: runs.count { [.preparing, .running, .storing].contains($0.state) }, kernels: Backend.best.family, threads: site.threads ?? Device.usableCPUs)
    }

    package func facts() async -> JSON.Object {
        var out = JSON.Object()
        guard let status = try? await status() else { return out }
        out["queued"] = .int(Int64(status.queued))
        out["running"] = .int(Int64(status.running))
        out["disk"] = .string(site.disk.level.rawValue)
        return out
    }

    package func statusLine() async -> String { (try? await status()).map { "\($0.running) running, \($0.queued) waiting" } ?? "ready" }

    // MARK: asking and telling

    func visitor(_ request: HTTPRequest) async throws(Fault) -> KnownCaller { try await identify(request.caller) }

    func permit(
        _ action: AuditAction, on resource: EntityID, digest: Digest? = nil, attributes: JSON.Object = .init(), for who: KnownCaller
    ) async throws(Fault) -> Permit {
        try await gate.permit(who.request(action, on: resource, digest: digest, attributes: attributes))
    }

    /// Carries out a permitted effect and records what became of it, whichever it is.
    func carryOut<T: Sendable>(
        _ permit: consuming Permit, for who: KnownCaller, _ effect: () async throws(Fault) -> (value: T, object: AuditEntry.Object, data: JSON.Object)
    ) async throws(Fault) -> T {
        guard let action = AuditAction(rawValue: permit.request.action) else { preconditionFailure("a permit names a recorded action") }
        let request = permit.decision.request
        let resource = permit.request.resource
        do throws(Fault) {
            let done = try await effect()
            _ = try await registry.append(.outcome(action, .ok, request: request, who: who.subject, object: done.object, data: done.data))
            return done.value
        } catch {
            // If even this cannot be recorded the intent stays open, which every verifier shows.
            _ = try? await registry.append(.outcome(action, .failed(code: error.code), request: request, who: who.subject, object: .init(resource)))
            throw error
        }
    }

    static var now: Int64 { Clock.now().nanoseconds / 1000 }

    /// Names people give to data sets and models: `[a-z0-9][a-z0-9.-]{0,63}`.
    static func isName(_ text: String) -> Bool {
        guard (1...64).contains(text.utf8.count), let first = text.utf8.first, first != 0x2e, first != 0x2d else { return false }
        return text.utf8.allSatisfy { 0x61...0x7a ~= $0 || 0x30...0x39 ~= $0 || $0 == 0x2e || $0 == 0x2d }
    }
}
