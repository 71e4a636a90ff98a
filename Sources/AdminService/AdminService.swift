// AdminService: the insides of forge-admin.
//
// owns      who is enrolled, who has signed in, applications' keys, approvals, the active policy, and this appliance's witness
// promises  a privileged action is decided here and nowhere else; every decision is on record before it is answered; a vote
//           counts once for a person and only for the bytes that were signed; what was answered survives a power cut
// never     holds a model, a document or a key of the store; never takes a principal from a message but a daemon's, and then
//           checks that the person is really signed in
// flow      Route → identify → Gate → Steward (state, journals) → record → answer · Witness: checkpoint → proof → cosignature
import AdminAPI
import ForgeConfig
import ForgeCore
import ForgeCrypto
package import ForgeDaemon
import ForgeGate
import ForgeHTTP
import ForgeOS
import RegistryAPI

package enum AdminService {
    /// forge-admin, built from what its daemon frame knows: one door, and the witness beside it.
    package static func plan(_ context: DaemonContext) async throws -> DaemonPlan {
        try context.settings().finish()
        let registry = RegistryClient(context.client(.registry))
        let recognition: Recognition
        if let handoff = context.handoff {
            recognition = .handed(Dictionary(handoff.peers.map { ($0.sha256, $0.name) }) { first, _ in first })
        } else {
            var services: [UInt32: DaemonName] = [:]
            for (account, name) in Recognition.accounts { if let found = try Accounts.named(account) { services[found.uid] = name } }
            recognition = .installed(services)
        }
        let uid = ThisProcess.uid
        let steward = try Steward(
            state: context.stateDirectory, audit: registry, method: context.handoff == nil ? .peercred : .handed, uid: uid, trustsUIDs: context.handoff == nil)
        let witness = try LocalWitness(steward, registry: registry)
        let routes = AdminRoutes(steward, recognition: recognition, witness: witness, uid: uid)
        return DaemonPlan(
            doors: [.init("admin", routes: routes.routes)],
            services: [WitnessService(witness)],
            facts: {
                let status = await steward.status(witnessed: await witness.witnessed)
                var facts: [(String, Bool)] = [("initialised", status.initialised)]
                if await witness.alarm != nil { facts.append(("log_contradicts_itself", true)) }
                return facts.reduce(into: .init()) { $0[$1.0] = .bool($1.1) }
            },
            status: { await steward.isInitialised ? "deciding" : "waiting for `forge init`" })
    }
}

/// Runs the witness for as long as the daemon lives.
private final class WitnessService: Service {
    let name = "witness"
    private let witness: LocalWitness
    private let stopping: AsyncStream<Void>
    private let stopper: AsyncStream<Void>.Continuation

    init(_ witness: LocalWitness) {
        self.witness = witness
        (stopping, stopper) = AsyncStream.makeStream()
    }

    func run() async throws {
        await withTaskGroup { group in
            group.addTask { await self.witness.run() }
            for await _ in stopping {}
            group.cancelAll()
        }
    }

    func stop() async { stopper.finish() }
}
