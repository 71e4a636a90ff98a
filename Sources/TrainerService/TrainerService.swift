// TrainerService: the inside of forged.
//
// owns      ingestion over the wire, data sets and runs on disk, the queue, worker processes and their supervision, metrics, scores
// promises  a data set is kept whole or not at all; a run's state survives a kill of worker or daemon at any moment and ends in the same
//           model; a crash takes one run; texts, tokens, checkpoints and weights are on disk only under keys the registry released;
//           an estimate comes before the work and refuses what cannot fit
// never     opens a user's file, keeps a key on disk, decides by itself, or trains in the daemon's own process
// flow      ingest stream → Ingest → DatasetRecord        RunSubmission → RunRecord → Supervisor → Worker (own process) → registry upload

import ForgeAuthority
import AdminAPI
import ForgeAudit
import ForgeConfig
package import ForgeCore
package import ForgeDaemon
import ForgeGate
import ForgeHTTP
package import ForgeOS
import RegistryAPI

package enum TrainerService {
    /// Builds forged from what it was given.
    package static func plan(_ context: DaemonContext) async throws(Fault) -> DaemonPlan {
        var settings = try context.settings()
        let threads = try settings.optionalInt("threads", in: 1...512)
        let executable = try Path.executable()
        let recipes = try settings.optionalString("recipes") ?? RecipeShelf.shipped(with: executable)
        try settings.finish()

        let registry = RegistryClient(context.client(.registry, timeout: .seconds(60)))
        let admin = AdminClient(context.client(.admin))
        let mirror = EntityMirror(admin, pinPath: Path.join(context.stateDirectory, "admin.key"))
        let identifier: Identifier
        if let handoff = context.handoff {
            identifier = Identifier(handed: Dictionary(handoff.peers.map { ($0.sha256, $0.name) }) { first, _ in first }, mirror: mirror)
        } else {
            var services: [UInt32: DaemonName] = [:]
            for (name, account) in [(DaemonName.trainer, "forge-train"), (.registry, "forge-registry"), (.serve, "forge-serve"), (.admin, "forge-admin")] {
                if let found = try Accounts.named(account) { services[found.uid] = name }
            }
            identifier = Identifier(services: services, mirror: mirror)
        }
        let myself = KnownCaller(
            principal: .service(.trainer), method: context.handoff == nil ? .peercred : .handed, uid: ThisProcess.uid, roles: [], door: "trainer")
        let site = TrainerSite(
            stateDirectory: context.stateDirectory, recipesDirectory: recipes, weightsSocket: Path.join(context.runDirectory, "weights.sock"), bearer: context.handoff?.credential,
            executable: executable, threads: threads)
        let trainer = try await Trainer(
            site: site, registry: registry, gate: Gate(DaemonAuthority(mirror, log: registry, admin: admin)), myself: myself, logger: context.logger
        ) { caller async throws(Fault) in try await identifier.identify(caller) }
        return DaemonPlan(
            doors: [.init("trainer", routes: trainer.routes)], services: [MirrorService(mirror: mirror), trainer.supervisor],
            facts: { await trainer.facts() }, status: { await trainer.statusLine() })
    }

    /// Follows forge-admin for as long as the daemon lives.
    private struct MirrorService: Service {
        let mirror: EntityMirror
        let stopped = AsyncStream.makeStream(of: Void.self)
        let name = "entity mirror"

        func run() async {
            await withTaskGroup(of: Void.self) { group in
                group.addTask { await mirror.run() }
                group.addTask { for await _ in stopped.stream {} }
                await group.next()
                group.cancelAll()
            }
        }

        func stop() async { stopped.continuation.finish() }
    }
}

/// Where things are, and what workers may take.
package struct TrainerSite: Sendable {
    package var stateDirectory: String
    package var recipesDirectory: String
    package var weightsSocket: String
    /// This daemon's credential where uids do not tell daemons apart. A secret.
    package var bearer: String?
    /// Started with `--worker` for each run.
    package var executable: String
    /// Threads of a worker; nil takes what the process may use.
    package var threads: Int?
    /// How full the file system of the state directory is.
    package var disk: DiskWatch

    package init(stateDirectory: String, recipesDirectory: String, weightsSocket: String, bearer: String?, executable: String, threads: Int?, disk: DiskWatch? = nil) {
        self.stateDirectory = stateDirectory
        self.recipesDirectory = recipesDirectory
        self.weightsSocket = weightsSocket
        self.bearer = bearer
        self.executable = executable
        self.threads = threads
        self.disk = disk ?? DiskWatch(stateDirectory)
    }
}
